//! A `docker` that builds and pushes nothing: a script for sh that remembers every call with its arguments, its environment and its
//! stdin, and answers as an engine would that has the images which it was told to build. What a test says about a command comes
//! first ([`Docker::on`]).
//!
//! What is pushed gets a digest made from its name, and appears in the fake AWS's repository, since both share a file.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What a command says and does instead of (or before) what it does without a word.
#[derive(Debug, Clone, Default)]
pub struct Says {
    script: String,
    file: usize,
    texts: Vec<String>,
}

impl Says {
    pub fn new() -> Says {
        Says::default()
    }

    fn prints(mut self, text: &str, to: &str) -> Says {
        // In a file of its own: no quoting, any bytes.
        let _ = writeln!(self.script, "cat \"$says.{}\"{to}", self.file);
        self.file += 1;
        self.texts.push(text.to_owned());
        self
    }

    pub fn stdout(self, text: &str) -> Says {
        self.prints(text, "")
    }

    pub fn stderr(self, text: &str) -> Says {
        self.prints(text, " >&2")
    }

    /// Waits, in real seconds.
    pub fn sleeps(mut self, seconds: f64) -> Says {
        let _ = writeln!(self.script, "sleep {seconds}");
        self
    }

    /// Ends with this code; without it the command goes on with what it does without a word.
    pub fn exits(mut self, code: i32) -> Says {
        let _ = writeln!(self.script, "exit {code}");
        self
    }

    /// Ends by this signal.
    pub fn dies(mut self, signal: i32) -> Says {
        let _ = writeln!(self.script, "kill -{signal} $$\nsleep 10");
        self
    }

    /// Goes on until a signal ends it.
    pub fn hangs(mut self) -> Says {
        self.script.push_str("exec sleep 100\n");
        self
    }

    /// Goes on until SIGINT or SIGTERM, which it takes in good order: says this on stderr and exits with 1, as a build does.
    pub fn hangs_until_told(mut self, last_words: &str) -> Says {
        // Set up before anything is said, since a test sends the signal as soon as it hears something.
        let words = format!("told() {{ cat \"$says.{}\" >&2; exit 1; }}\ntrap told INT TERM\n", self.file);
        self.script.insert_str(0, &words);
        self.script.push_str("while :; do sleep 0.01; done\n");
        self.file += 1;
        self.texts.push(last_words.to_owned());
        self
    }

    /// Any script for sh. `$folder` is the docker's own folder, `$folder/calls/N` that of the call.
    pub fn script(mut self, text: &str) -> Says {
        self.script.push_str(text);
        self.script.push('\n');
        self
    }
}

/// The docker of a test.
#[derive(Debug, Clone)]
pub struct Docker {
    buildx: bool,
    version: String,
    arch: String,
    rules: Vec<(String, String, Says)>,
}

impl Default for Docker {
    fn default() -> Docker {
        Docker::new()
    }
}

impl Docker {
    /// Version 28 on linux/amd64, with buildx.
    pub fn new() -> Docker {
        Docker { buildx: true, version: "28.2.2".to_owned(), arch: "amd64".to_owned(), rules: Vec::new() }
    }

    pub fn without_buildx(mut self) -> Docker {
        self.buildx = false;
        self
    }

    pub fn version(mut self, version: &str) -> Docker {
        self.version = version.to_owned();
        self
    }

    /// `amd64` or `arm64`.
    pub fn arch(mut self, arch: &str) -> Docker {
        self.arch = arch.to_owned();
        self
    }

    /// What every call of a command does: `build`, `push`, `login`, `run`, `version`, `image inspect`, …
    pub fn on(mut self, command: &str, says: Says) -> Docker {
        self.rules.push((command.replace(' ', "-"), "all".to_owned(), says));
        self
    }

    /// What the `nth` call of a command does, from 1.
    pub fn on_nth(mut self, command: &str, nth: u32, says: Says) -> Docker {
        self.rules.push((command.replace(' ', "-"), nth.to_string(), says));
        self
    }

    pub(super) fn install(&self, folder: &Path) {
        let on = folder.join("on");
        fs::create_dir_all(&on).expect("the test's folder can be written to");
        for (command, which, says) in &self.rules {
            let name = format!("{command}.{which}");
            fs::write(on.join(&name), &says.script).expect("the test's folder can be written to");
            for (number, text) in says.texts.iter().enumerate() {
                fs::write(on.join(format!("{name}.{number}")), text).expect("the test's folder can be written to");
            }
        }
        let settings = format!("buildx={}\nversion={}\narch={}\n", self.buildx, self.version, self.arch);
        fs::write(folder.join("settings"), settings).expect("the test's folder can be written to");
    }
}

/// A call of the fake docker.
#[derive(Debug, Clone)]
pub struct Call {
    /// Without the program's name.
    pub arguments: Vec<String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    pub stdin: String,
}

impl Call {
    /// `build`, `push`, `image inspect`, …
    pub fn command(&self) -> String {
        let mut words = self.arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--config" | "--context" | "-c" | "-H" | "--host" => drop(words.next()),
                "image" | "buildx" | "context" => {
                    return format!("{word} {}", words.next().map_or("", String::as_str));
                }
                _ => return word.clone(),
            }
        }
        String::new()
    }

    /// A variable of its environment.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
    }
}

pub(super) fn calls(folder: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    loop {
        let call = folder.join("calls").join(calls.len().to_string());
        let read = |name: &str| fs::read(call.join(name)).ok().map(|it| String::from_utf8_lossy(&it).into_owned());
        let Some(arguments) = read("arguments") else { return calls };
        calls.push(Call {
            arguments: arguments.split_terminator('\0').map(str::to_owned).collect(),
            env: read("env").unwrap_or_default().lines().map(str::to_owned).collect(),
            stdin: read("stdin").unwrap_or_default(),
        });
    }
}

/// The script. Runs under any POSIX sh.
pub(super) fn script(folder: &Path) -> String {
    format!("folder='{}'\n{SCRIPT}", folder.display())
}

const SCRIPT: &str = r##"
. "$folder/settings"
mkdir -p "$folder/calls" "$folder/images" "$folder/counts"
number=0
until mkdir "$folder/calls/$number" 2>/dev/null; do number=$((number + 1)); done
call="$folder/calls/$number"
env > "$call/env"
if [ $# -gt 0 ]; then printf '%s\0' "$@" > "$call/arguments"; else : > "$call/arguments"; fi

while :; do
    case "$1" in
        --config | --context | -c | -H | --host) shift 2 ;;
        *) break ;;
    esac
done
command=$1
[ $# -gt 0 ] && shift
case "$command" in
    image | buildx | context) command="$command-$1"; [ $# -gt 0 ] && shift ;;
esac
last=
for argument in "$@"; do last=$argument; done

if [ "$command" = login ]; then cat > "$call/stdin"; fi

nth=0
while ! mkdir "$folder/counts/$command.$((nth + 1))" 2>/dev/null; do nth=$((nth + 1)); done
nth=$((nth + 1))
for says in "$folder/on/$command.$nth" "$folder/on/$command.all"; do
    if [ -f "$says" ]; then . "$says"; break; fi
done

# A reference as a file name, and the digest that it gets.
file_of() { printf '%s' "$1" | tr '/:@' '___'; }
digest_of() { printf 'sha256:%s' "$(printf '%s' "$1" | (sha256sum 2>/dev/null || shasum -a 256) | cut -c 1-64)"; }

case "$command" in
    version)
        printf '{"Client":{"Version":"%s"},"Server":{"Version":"%s","Os":"linux","Arch":"%s"}}\n' "$version" "$version" "$arch"
        ;;
    buildx-version)
        if [ "$buildx" != true ]; then
            echo "docker: 'buildx' is not a docker command." >&2
            exit 1
        fi
        echo "github.com/docker/buildx v0.24.0"
        ;;
    build | buildx-build)
        os_arch="linux/$arch"
        while [ $# -gt 0 ]; do
            case "$1" in
                --tag | -t) tag=$2; shift ;;
                --tag=*) tag=${1#*=} ;;
                --platform) os_arch=$2; shift ;;
                --platform=*) os_arch=${1#*=} ;;
            esac
            shift
        done
        echo "#1 building $tag" >&2
        # In one piece: another run may be looking.
        printf '%s\n' "$os_arch" > "$folder/built.$$"
        mv "$folder/built.$$" "$folder/images/$(file_of "$tag")"
        ;;
    tag)
        cp "$folder/images/$(file_of "$1")" "$folder/images/$(file_of "$2")" || exit 1
        ;;
    push)
        image="$folder/images/$(file_of "$last")"
        if [ ! -f "$image" ]; then
            echo "An image does not exist locally with the tag: $last" >&2
            exit 1
        fi
        path=${last#*/}
        repository=${path%:*}
        tag=${path##*:}
        digest=$(digest_of "$last")
        echo "The push refers to repository [${last%:*}]"
        echo "$tag: digest: $digest size: 1234"
        printf '%s@%s\n' "${last%:*}" "$digest" > "$folder/pushed.$$"
        mv "$folder/pushed.$$" "$image.pushed"
        printf '%s %s %s\n' "$repository" "$tag" "$digest" >> "$folder/pushes"
        ;;
    image-inspect | inspect)
        image="$folder/images/$(file_of "$last")"
        if [ ! -f "$image" ]; then
            echo "Error response from daemon: No such image: $last" >&2
            exit 1
        fi
        read -r os_arch < "$image"
        digests=
        [ -f "$image.pushed" ] && digests="\"$(cat "$image.pushed")\""
        printf '{"Id":"%s","Os":"%s","Architecture":"%s","RepoDigests":[%s]}\n' \
            "$(digest_of "id $last")" "${os_arch%%/*}" "${os_arch#*/}" "$digests"
        ;;
    login) echo "Login Succeeded" ;;
    logout | pull | rmi | image-rm | image-tag | rm) ;;
    run) ;;
    *)
        echo "docker: the fake docker has no script for '$command'" >&2
        exit 125
        ;;
esac
"##;
