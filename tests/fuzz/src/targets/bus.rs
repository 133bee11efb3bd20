//! What callers on the bus give: bodies of method calls as the bus hands them over.

use recueil_bus::fuzzing;

/// `OpenDossier`, `ListDossiers`, `StartCapture`, `DeclareMissingFinger`.
pub fn arguments(bytes: &[u8]) {
    if let Some(Ok([procedure, demande, token])) = fuzzing::open_dossier(bytes) {
        super::reach("bus-arguments");
        assert!(procedure.is_some_and(|procedure| procedure.len() <= 128));
        if let Some(demande) = demande {
            assert!((6..=20).contains(&demande.len()) && demande.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        assert!(token.as_deref().is_none_or(is_token));
    }
    if let Some(Ok(state)) = fuzzing::list_dossiers(bytes) {
        assert!(state.is_none_or(|name| !name.is_empty()));
    }
    if let Some(Ok([step, device, document, token])) = fuzzing::start_capture(bytes) {
        assert!(step.is_some_and(|step| step.len() <= 128));
        assert!(device.is_some_and(|device| device.len() <= 128));
        assert!(document.is_none_or(|document| document.len() <= 256));
        assert!(token.as_deref().is_none_or(is_token));
    }
    if let Some(Ok(finger)) = fuzzing::missing_finger(bytes) {
        assert!((1..=10).contains(&finger));
    }
    // Clients read what the service says, and some of them are ours.
    fuzzing::view(bytes);
}

fn is_token(token: &str) -> bool {
    (1..=64).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Names and texts.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for name in fuzzing::names(text) {
        match name {
            Ok(name) => {
                super::reach("bus-names");
                assert_eq!(name, text, "a name has one spelling");
                assert!(name.len() <= 64 && !name.contains(['/', '\0']));
            }
            // Whatever a caller said, he is told the rule and not his own words.
            Err(error) => assert!(error.text.len() <= 200, "{}", error.text),
        }
    }
    assert_eq!(fuzzing::text(text, 128).is_ok(), text.len() <= 128);
    let path = fuzzing::device_path(text);
    assert_eq!(path.is_ok(), !text.is_empty(), "{path:?}");
}
