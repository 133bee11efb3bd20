//! What names and texts in a manifest may be made of.

use super::FILE_NAME;

/// Two or more labels of a-z, 0-9 and '-', joined by '.', at most 64 in all: safe as a file name.
pub(super) fn is_id(id: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    id.len() <= 64 && id.contains('.') && id.split('.').all(label)
}

pub(super) fn is_line(text: &str, chars_max: usize) -> bool {
    let length = text.chars().count();
    (1..=chars_max).contains(&length) && !text.chars().any(char::is_control)
}

pub(super) fn is_version(version: &str) -> bool {
    (1..=32).contains(&version.len())
        && version
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".+~-".contains(&byte))
}

pub(super) fn is_setting(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte))
}

pub(super) fn is_file_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name != FILE_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
}

/// Models and serial numbers of the virtual bus: 1 to 32 letters, digits, '-'.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
