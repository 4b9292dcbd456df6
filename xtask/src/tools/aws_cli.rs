//! The aws command line, for the services that this tool has no client of: EC2, IAM, SSM, Secrets Manager. Reads only, and only for `check`.

use std::ffi::OsString;

use serde_json::Value;
use xshell::Shell;

use super::capture_whole;

/// The aws command line, as the environment reaches AWS.
#[derive(Debug, Clone)]
pub struct AwsCli {
    sh: Shell,
    profile: Option<String>,
    endpoint_url: Option<String>,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// AWS's error code, where AWS answered.
    pub code: Option<String>,
    /// AWS's message, or the tool's.
    pub message: String,
}

impl Complaint {
    /// The cause as it stands behind a colon.
    pub fn cause(&self) -> String {
        match &self.code {
            Some(code) => format!("{code}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// Whether AWS knows nothing of what was asked for.
    pub fn is_missing(&self) -> bool {
        self.code.as_deref().is_some_and(|it| it.contains("NoSuchEntity") || it.contains("NotFound"))
    }
}

impl AwsCli {
    /// The program on PATH, if there is one.
    pub fn find(sh: &Shell, profile: Option<&str>, endpoint_url: Option<&str>) -> Option<AwsCli> {
        let path = sh.var_os("PATH")?;
        let found = std::env::split_paths(&path).any(|it| it.join("aws").is_file());
        let (profile, endpoint_url) = (profile.map(str::to_owned), endpoint_url.map(str::to_owned));
        found.then(|| AwsCli { sh: sh.clone(), profile, endpoint_url })
    }

    /// One call, by the words of its command line. May be dropped.
    pub async fn ask(&self, region: &str, words: &[&str]) -> Result<Value, Complaint> {
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        arguments.extend(["--output", "json", "--region", region].map(OsString::from));
        if let Some(url) = &self.endpoint_url {
            arguments.extend(["--endpoint-url", url].map(OsString::from));
        }
        let mut cmd = self.sh.cmd("aws").args(arguments).env("AWS_PAGER", "");
        if let Some(profile) = &self.profile {
            // Not --profile: that would beat keys in the environment, which beat a profile for the SDK.
            cmd = cmd.env("AWS_PROFILE", profile);
        }
        let done = capture_whole(cmd, None).await;
        let done = done.map_err(|it| Complaint { code: None, message: it.to_string() })?;
        if !done.ended.success() {
            return Err(complaint(&String::from_utf8_lossy(&done.stderr), &done.ended.to_string()));
        }
        serde_json::from_slice(&done.stdout)
            .map_err(|it| Complaint { code: None, message: format!("cannot read what `aws` says: {it}") })
    }
}

/// `An error occurred (CODE) when calling the X operation: MESSAGE`, in the words of both versions of the tool.
fn complaint(stderr: &str, ended: &str) -> Complaint {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    for line in &lines {
        let parts = line.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
        if let Some((code, rest)) = parts {
            let message = rest.split_once(" operation").map_or(rest, |(_, it)| it);
            // `: MESSAGE`, or ` (reached max retries: 2): MESSAGE`.
            let message =
                if message.starts_with(" (") { message.split_once(')').map_or(message, |it| it.1) } else { message };
            let message = message.trim_start_matches([':', ' ']).trim_end_matches('.');
            return Complaint { code: Some(code.to_owned()), message: message.to_owned() };
        }
    }
    // The last line says it; a page of HTML from something in between does not.
    let message = lines.last().filter(|it| !it.contains('<')).map(|it| (*it).to_owned());
    let message = message.unwrap_or_else(|| format!("`aws` ended with {ended}"));
    Complaint { code: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_messages_are_read_off_the_complaint() {
        let text = "\naws: [ERROR]: An error occurred (NoSuchEntity) when calling the GetRole operation: The role with name x cannot be found.\n";
        let found = complaint(text, "");
        assert_eq!(found.code.as_deref(), Some("NoSuchEntity"));
        assert_eq!(found.message, "The role with name x cannot be found");
        assert!(found.is_missing());
        let text = "An error occurred (AccessDenied) when calling the GetRole operation (reached max retries: 2): User: y is not authorized";
        assert_eq!(complaint(text, "").cause(), "AccessDenied: User: y is not authorized");
        assert_eq!(complaint("\nUnable to locate credentials.\n", "").cause(), "Unable to locate credentials.");
        assert_eq!(complaint("", "exit code 252").cause(), "`aws` ended with exit code 252");
    }
}
