//! What can go wrong besides a refusal.

/// Why a profile cannot be used or a picture cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An encoder refused the picture.
    #[error("a picture that cannot be encoded: {0}")]
    Encoding(&'static str),
    /// The profile is not TOML of the known shape.
    #[error("the profile is not understood")]
    ProfileShape(#[source] toml::de::Error),
    /// A value of the profile is impossible.
    #[error("profile: {key} must be {rule}")]
    ProfileValue {
        /// Which value.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}
