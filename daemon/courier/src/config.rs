//! The table `[courier]` of `recueil.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use recueil_wire::User;
use serde::Deserialize;

use crate::Error;

/// What the administrator says. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `recueild` connects.
    pub socket: PathBuf,
    /// The only user whose connections are accepted.
    pub recueild: User,
    /// The outbox, written by `recueild`.
    pub ready_dir: PathBuf,
    /// `progress/` and `receipts/` are made in it.
    pub state_dir: PathBuf,
    /// The station's identity at CERT, for the log; its TLS certificate is what counts.
    #[serde(default)]
    pub station: String,
    /// `https://HOST[:PORT]` of CERT; none: not configured.
    #[serde(default)]
    pub url: Option<String>,
    /// The station's TLS key, PKCS#8 in PEM or DER. Not its sealing key.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// The station's TLS certificate, PEM (the chain may follow) or DER.
    #[serde(default)]
    pub tls_certificate: Option<PathBuf>,
    /// The private roots that CERT's server certificate must come from, PEM or DER; two during a change.
    #[serde(default)]
    pub tls_roots: Vec<PathBuf>,
    /// Bytes in one PATCH at most; fewer on a line that breaks.
    #[serde(default = "chunk_bytes")]
    pub chunk_bytes: u64,
    /// Longest wait after the first failure, seconds; it doubles with each further one.
    #[serde(default = "retry_base_s")]
    pub retry_base_s: u64,
    /// Longest wait after any failure, seconds.
    #[serde(default = "retry_max_s")]
    pub retry_max_s: u64,
    /// Longest wait for a connection, and again for its TLS, seconds.
    #[serde(default = "connect_s")]
    pub connect_s: u64,
    /// Longest wait for an answer, seconds.
    #[serde(default = "answer_s")]
    pub answer_s: u64,
    /// Longest time that one PATCH may take, seconds; a line that stands still is noticed after this.
    #[serde(default = "part_s")]
    pub part_s: u64,
    /// A connection on which nothing was asked for this long is closed, seconds.
    #[serde(default = "idle_s")]
    pub idle_s: u64,
}

/// Smallest PATCH; a town hall's proxy may cut what takes longer than half a minute.
pub(crate) const CHUNK_MIN_BYTES: u64 = 64 << 10;
const CHUNK_MAX_BYTES: u64 = 8 << 20;

fn chunk_bytes() -> u64 {
    1 << 20
}
fn retry_base_s() -> u64 {
    2
}
fn retry_max_s() -> u64 {
    900
}
fn connect_s() -> u64 {
    10
}
fn answer_s() -> u64 {
    30
}
/// 1 MiB at 128 kbit/s takes 64 s.
fn part_s() -> u64 {
    120
}
fn idle_s() -> u64 {
    30
}

/// The whole file. The other tables belong to other processes.
#[derive(Deserialize)]
struct File {
    courier: Config,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Config`], [`Error::ConfigValue`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::file(path, source))?;
        Self::parse(&text, path)
    }

    /// Reads and checks the text of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::ConfigValue`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|source| Error::Config {
            path: path.into(),
            source: Box::new(source),
        })?;
        file.courier.check()
    }

    fn check(self) -> Result<Self, Error> {
        let wrong = |key, rule| Err(Error::ConfigValue { key, rule });
        if !(CHUNK_MIN_BYTES..=CHUNK_MAX_BYTES).contains(&self.chunk_bytes) {
            return wrong("chunk_bytes", "65536 to 8388608");
        }
        if self.retry_base_s == 0 || self.retry_base_s > self.retry_max_s || self.retry_max_s > 86_400 {
            return wrong("retry_base_s", "1 to retry_max_s, and that at most 86400");
        }
        // `recueild` waits two minutes for an answer, which takes connection, TLS and answer.
        if !(1..=30).contains(&self.connect_s) || !(1..=45).contains(&self.answer_s) {
            return wrong("connect_s", "1 to 30, and answer_s 1 to 45");
        }
        if !(1..=3600).contains(&self.part_s) {
            return wrong("part_s", "1 to 3600");
        }
        if !(1..=300).contains(&self.idle_s) {
            return wrong("idle_s", "1 to 300");
        }
        if self.url.is_some() {
            if self.tls_key.is_none() {
                return wrong("tls_key", "needed where there is a url");
            }
            if self.tls_certificate.is_none() {
                return wrong("tls_certificate", "needed where there is a url");
            }
            if self.tls_roots.is_empty() {
                return wrong("tls_roots", "at least one is needed where there is a url");
            }
        }
        Ok(self)
    }

    pub(crate) fn retry_base(&self) -> Duration {
        Duration::from_secs(self.retry_base_s)
    }

    pub(crate) fn retry_max(&self) -> Duration {
        Duration::from_secs(self.retry_max_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<Config, Error> {
        let text = format!(
            "[station]\nid = 'x'\n[courier]\nsocket = '/s'\nrecueild = 1\nready_dir = '/r'\nstate_dir = '/c'\n{rest}"
        );
        Config::parse(&text, Path::new("recueil.toml"))
    }

    #[test]
    fn the_file_of_the_package_is_valid() {
        let text =
            include_str!("../../../config/recueil.toml").replace("recueild = \"recueil\"", "recueild = 990");
        let config = Config::parse(&text, Path::new("recueil.toml")).unwrap();
        assert_eq!(
            (config.url, config.chunk_bytes, config.retry_max_s),
            (None, 1 << 20, 900)
        );
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let key = |rest| match parse(rest) {
            Err(Error::ConfigValue { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key("chunk_bytes = 1"), "chunk_bytes");
        assert_eq!(key("retry_base_s = 10\nretry_max_s = 5"), "retry_base_s");
        assert_eq!(key("connect_s = 0"), "connect_s");
        assert_eq!(key("answer_s = 46"), "connect_s");
        assert_eq!(key("part_s = 0"), "part_s");
        assert_eq!(key("idle_s = 0"), "idle_s");
        assert_eq!(key("url = 'https://127.0.0.1:1'"), "tls_key");
        assert!(matches!(parse("proxy = 'x'"), Err(Error::Config { .. })));
    }
}
