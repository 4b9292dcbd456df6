//! Secrets, as a task definition refers to them.

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum Secret {
    /// A parameter of SSM: its name, and its ARN.
    Parameter { name: String, arn: String, region: String },
    /// A secret of Secrets Manager, by its ARN without JSON key and version.
    Secret { arn: String, region: String },
}

/// Reads a `valueFrom`: an ARN of SSM or Secrets Manager, or the name of a parameter. `partition`, `region`, `account`: the task's.
pub fn secret(value_from: &str, partition: &str, region: &str, account: &str) -> Option<Secret> {
    if !value_from.starts_with("arn:") {
        let name = value_from.to_owned();
        let arn = format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'));
        return Some(Secret::Parameter { name, arn, region: region.to_owned() });
    }
    let parts: Vec<&str> = value_from.split(':').collect();
    let region = (*parts.get(3)?).to_owned();
    match (*parts.get(2)?, parts.get(5)?) {
        ("ssm", resource) => {
            let name = resource.strip_prefix("parameter/")?;
            // A name with a path begins with a slash, which the ARN does not have twice.
            let name = if name.contains('/') { format!("/{name}") } else { name.to_owned() };
            Some(Secret::Parameter { name, arn: value_from.to_owned(), region })
        }
        // arn:aws:secretsmanager:region:account:secret:NAME[:json-key:stage:version]
        ("secretsmanager", _) => Some(Secret::Secret { arn: parts.get(..7)?.join(":"), region }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_reference_is_read() {
        let parameter = |name: &str, arn: &str| {
            Some(Secret::Parameter { name: name.to_owned(), arn: arn.to_owned(), region: "r".to_owned() })
        };
        let in_manager = |arn: &str| Some(Secret::Secret { arn: arn.to_owned(), region: "r".to_owned() });
        for (value_from, expected) in [
            ("/app/token", parameter("/app/token", "arn:aws:ssm:r:1:parameter/app/token")),
            ("token", parameter("token", "arn:aws:ssm:r:1:parameter/token")),
            ("arn:aws:ssm:r:1:parameter/app/token", parameter("/app/token", "arn:aws:ssm:r:1:parameter/app/token")),
            ("arn:aws:ssm:r:1:parameter/token", parameter("token", "arn:aws:ssm:r:1:parameter/token")),
            ("arn:aws:secretsmanager:r:1:secret:app/key", in_manager("arn:aws:secretsmanager:r:1:secret:app/key")),
            (
                "arn:aws:secretsmanager:r:1:secret:app/key-AbCdEf:user::",
                in_manager("arn:aws:secretsmanager:r:1:secret:app/key-AbCdEf"),
            ),
            ("arn:aws:s3:::bucket", None),
        ] {
            assert_eq!(secret(value_from, "aws", "r", "1"), expected, "{value_from}");
        }
    }
}
