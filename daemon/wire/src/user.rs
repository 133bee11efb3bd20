//! A user named in a configuration file.

use serde::Deserialize;

/// A uid, written as a number or as a name of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct User(u32);

impl User {
    /// The uid.
    pub fn uid(self) -> u32 {
        self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Uid(u32),
    Name(String),
}

impl TryFrom<Written> for User {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Uid(uid) => Ok(Self(uid)),
            Written::Name(name) => {
                let passwd = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
                find(&passwd, &name)
                    .map(Self)
                    .ok_or_else(|| format!("there is no user {name:?}"))
            }
        }
    }
}

fn find(passwd: &str, name: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next()? == name).then(|| columns.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nrecueil:x:990:990::/:/usr/sbin/nologin\n";
        assert_eq!(find(passwd, "recueil"), Some(990));
        assert_eq!(find(passwd, "recueild"), None);
    }
}
