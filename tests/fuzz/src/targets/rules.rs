//! Files of the administrator and of packages: configuration, manifests, procedures, profiles; and the names of
//! things.

use std::path::Path;

use jiff::Timestamp;
use recueil_capture::Profile;
use recueil_device::manifest::Manifest;
use recueil_device::virtual_bus;
use recueil_dossier::{
    AgentId, DemandeNumber, DossierId, Draft, ItemName, Opening, PreDemandeNumber, Procedure, State,
    StationId, StepKind,
};

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn is_file_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// `plugin.toml`.
pub fn manifest(bytes: &[u8]) {
    let Some(Ok(manifest)) = text(bytes).map(Manifest::parse) else {
        return;
    };
    super::reach("manifest");
    assert!(is_file_name(&manifest.id), "the id is a folder's name too");
    assert!(manifest.files.contains_key(&manifest.library));
    assert!(manifest.files.len() <= 64 && manifest.files.keys().all(|name| is_file_name(name)));
    assert!(!manifest.modalities.is_empty() && (1..=64).contains(&manifest.matches.len()));
    assert!((16..=4096).contains(&manifest.limits.memory_mib));
    assert!((1..=64).contains(&manifest.limits.threads));
    assert!(manifest.config.len() <= 64);
    assert!(!manifest.name.chars().any(char::is_control));
}

/// The table `[hostd]`.
pub fn config_hostd(bytes: &[u8]) {
    let parse = |text| recueil_device::config::Config::parse(text, Path::new("recueil.toml"));
    if let Some(Ok(config)) = text(bytes).map(parse) {
        super::reach("config-hostd");
        assert!(config.socket.is_absolute() && config.state_dir.is_absolute());
        assert!(config.plugin_dirs.iter().all(|dir| dir.is_absolute()));
    }
}

/// The table `[courier]`, and the address in it.
pub fn config_courier(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(config) = recueil_courier::Config::parse(text, Path::new("recueil.toml")) {
        super::reach("config-courier");
        assert!((64 << 10..=8 << 20).contains(&config.chunk_bytes));
        assert!((1..=config.retry_max_s).contains(&config.retry_base_s) && config.retry_max_s <= 86_400);
        assert!(config.url.is_none() || !config.tls_roots.is_empty());
    }
    if let Some((host, _port)) = recueil_courier::fuzzing::url(text) {
        assert!(
            !host.is_empty() && !host.contains(['/', '@', ' ', '\n', '?', '#']),
            "{host:?}"
        );
    }
}

/// The tables `[station]` and `[recueild]`.
pub fn config_recueild(bytes: &[u8]) {
    if let Some(Ok((station, hand_s))) = text(bytes).map(recueild::fuzzing::config) {
        super::reach("config-recueild");
        assert!(station.is_none_or(|id| id.parse::<StationId>().is_ok()));
        assert!((1..=600).contains(&hand_s));
    }
}

/// A procedure, and a draft that is opened by it.
pub fn procedure(bytes: &[u8]) {
    let Some(Ok(procedure)) = text(bytes).map(Procedure::parse) else {
        return;
    };
    assert!(
        is_file_name(&procedure.profile),
        "the profile is a file's name too"
    );
    super::reach("procedure");
    let opening = Opening {
        id: DossierId::new(Timestamp::UNIX_EPOCH, [1; 10]),
        owner_uid: 1000,
        agent: "agent".parse().expect("a name"),
        at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        demande: None,
    };
    let mut draft = Draft::open(&procedure, opening);
    let missing = draft.missing(&procedure);
    for (index, step) in procedure.steps.iter().enumerate() {
        assert!(procedure.step(&step.id).is_some());
        assert!(
            procedure
                .steps
                .iter()
                .skip(index + 1)
                .all(|other| other.id != step.id)
        );
        if let StepKind::Fields { fields } = &step.kind {
            for field in fields {
                let value = field.values.first().map_or("x", String::as_str);
                let taken = draft.set_field(&procedure, &field.name, value);
                assert!(taken.is_err() || draft.fields.len() <= fields_of(&procedure));
            }
        }
    }
    assert!(draft.missing(&procedure).len() <= missing.len());
    assert_eq!(
        Procedure::parse(text(bytes).unwrap_or_default()).ok(),
        Some(procedure)
    );
}

fn fields_of(procedure: &Procedure) -> usize {
    let of = |kind: &StepKind| match kind {
        StepKind::Fields { fields } => fields.len(),
        _ => 0,
    };
    procedure.steps.iter().map(|step| of(&step.kind)).sum()
}

/// A profile.
pub fn profile(bytes: &[u8]) {
    let Some(Ok(profile)) = text(bytes).map(Profile::parse) else {
        return;
    };
    super::reach("profile");
    let photo = profile.photo;
    assert!((5.0..=500.0).contains(&photo.print_width_mm) && (5.0..=500.0).contains(&photo.print_height_mm));
    assert!(photo.tolerance_mm > 0.0 && photo.tolerance_mm.is_finite());
    assert!((16..=8192).contains(&photo.width_px) && (16..=8192).contains(&photo.height_px));
    assert!((2..=32).contains(&profile.fingerprint.preview_divisor));
    assert!((1..=100).contains(&profile.page.jpeg_quality));
    assert!(profile.signature.ink_min_permille.is_finite());
}

/// Names of things: each that is read is written as it was.
pub fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(id) = text.parse::<DossierId>() {
        super::reach("names");
        assert_eq!(id.to_string(), text);
        assert!(is_file_name(text));
    }
    let file_names = [
        text.parse::<ItemName>().map(String::from),
        text.parse::<StationId>().map(String::from),
        text.parse::<DemandeNumber>().map(String::from),
        text.parse::<PreDemandeNumber>().map(String::from),
    ];
    for name in file_names.into_iter().flatten() {
        assert_eq!(name, text);
        assert!(is_file_name(&name));
    }
    if let Ok(agent) = text.parse::<AgentId>() {
        assert_eq!(agent.as_str(), text);
    }
    if let Some(state) = State::parse(text) {
        assert_eq!(state.as_str(), text);
    }
    State::event_of_cert_status(recueil_dossier::Kind::Deposit, text);
    if let Some(name) = virtual_bus::Name::parse(text) {
        assert_eq!(format!("{}.{}.sock", name.model, name.serial), text);
        assert!(is_file_name(&name.device_id()) && name.device_id().len() <= 128);
    }
}

/// What an agent types, or a QR code holds.
pub fn number(bytes: &[u8]) {
    let Some(Ok(number)) = text(bytes).map(PreDemandeNumber::find_in) else {
        return;
    };
    super::reach("number");
    let number = String::from(number);
    assert!(
        number.len() == 10
            && number
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    );
    let text = text(bytes).unwrap_or_default().to_ascii_uppercase();
    assert!(text.contains(&number), "it stands in the text");
    assert_eq!(PreDemandeNumber::find_in(&number).map(String::from), Ok(number));
}
