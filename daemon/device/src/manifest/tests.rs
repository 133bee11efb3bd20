use super::*;

fn sample() -> String {
    format!(
        r#"
manifest = 1
id = "com.acme.fp200"
name = "Acme FP200"
version = "2.3.1"
abi = "1.0"
arch = "{}-linux-gnu"
glibc_min = "2.31"
library = "libacme_fp200.so"
sha256 = "{}"
files = {{ "calibration.bin" = "{}" }}
modalities = ["fingerprint"]
match = [
    {{ bus = "usb", vid = "1a2b", pid = "0200", iface = 0 }},
    {{ bus = "serial", usb_vid = "0403", usb_pid = "6001", ask = true }},
    {{ bus = "virtual", model = "fp4" }},
]
isolation = "device"
limits = {{ memory_mib = 256, threads = 8 }}
network = false
config = {{ gain = "3" }}
"#,
        std::env::consts::ARCH,
        "0a".repeat(32),
        "ff".repeat(32),
    )
}

/// The sample with one piece of text changed is refused, and the reason names `reason`.
fn check(from: &str, to: &str, reason: &str) {
    let text = sample();
    assert!(text.contains(from), "the sample has no {from:?}");
    match Manifest::parse(&text.replacen(from, to, 1)) {
        Err(Error::Refused { what, advice }) => {
            assert!(
                what.contains(reason),
                "{from:?} -> {to:?}: {what:?} does not say {reason:?}"
            );
            assert!(!advice.is_empty());
        }
        other => panic!("{from:?} -> {to:?} was not refused: {other:?}"),
    }
}

#[test]
fn a_manifest_says_all_of_a_plugin_without_loading_it() {
    let manifest = Manifest::parse(&sample()).unwrap();
    assert_eq!(manifest.id, "com.acme.fp200");
    assert_eq!(manifest.modalities, [Modality::Fingerprint]);
    assert_eq!(manifest.files["libacme_fp200.so"], Sha256([0x0a; 32]));
    assert_eq!(manifest.files["calibration.bin"], Sha256([0xff; 32]));
    assert_eq!(
        manifest.matches[0],
        Match::Usb {
            vid: UsbNumber(0x1a2b),
            pid: UsbNumber(0x0200),
            iface: Some(0)
        }
    );
    assert_eq!(manifest.matches[2], Match::Virtual { model: "fp4".into() });
    assert_eq!(
        manifest.limits,
        Limits {
            memory_mib: 256,
            threads: 8
        }
    );
    assert_eq!(manifest.config["gain"], "3");
}

#[test]
fn what_is_unknown_missing_or_malformed_is_refused() {
    for (from, to, reason) in [
        ("manifest = 1", "manifest = 2", "manifest = 2"),
        ("network = false", "network = false\ncolour = 1", "colour"),
        ("name = \"Acme FP200\"", "", "name"),
        ("Acme FP200", "Acme\\nFP200", "name"),
        ("com.acme.fp200", "fp200", "reverse domain"),
        ("com.acme.fp200", "com..fp200", "reverse domain"),
        ("com.acme.fp200", "com/../fp200", "reverse domain"),
        ("2.3.1", "2 3", "version"),
        ("abi = \"1.0\"", "abi = \"1\"", "MAJOR.MINOR"),
        ("abi = \"1.0\"", "abi = \"01.0\"", "MAJOR.MINOR"),
        ("\"libacme_fp200.so\"", "\"../libacme.so\"", "plain file name"),
        ("\"libacme_fp200.so\"", "\".hidden\"", "plain file name"),
        ("\"libacme_fp200.so\"", "\"plugin.toml\"", "plain file name"),
        ("\"libacme_fp200.so\"", "\"calibration.bin\"", "once more"),
        ("0a0a", "0A0A", "sha256"),
        ("0a0a", "0a", "sha256"),
        ("[\"fingerprint\"]", "[]", "modalities"),
        ("[\"fingerprint\"]", "[\"palm\"]", "palm"),
        ("bus = \"usb\"", "bus = \"isa\"", "isa"),
        ("iface = 0", "interface = 0", "interface"),
        ("vid = \"1a2b\"", "vid = \"1A2B\"", "hexadecimal"),
        ("vid = \"1a2b\"", "vid = \"+a2b\"", "hexadecimal"),
        ("model = \"fp4\"", "model = \"a.b\"", "model"),
        ("model = \"fp4\"", "model = \"\"", "model"),
        ("memory_mib = 256", "memory_mib = 8", "memory_mib"),
        ("memory_mib = 256", "memory_mib = 8192", "memory_mib"),
        ("threads = 8", "threads = 0", "threads"),
        ("threads = 8", "threads = 8, files = 3", "files"),
        ("gain", "\"GAIN \"", "config"),
    ] {
        check(from, to, reason);
    }
}

#[test]
fn what_this_release_cannot_give_is_refused_with_the_reason() {
    check("network = false", "network = true", "network");
    check("isolation = \"device\"", "isolation = \"plugin\"", "one process");
    check("abi = \"1.0\"", "abi = \"1.1\"", "keeps 1.0");
    check("abi = \"1.0\"", "abi = \"2.0\"", "keeps 1.0");
    check("-linux-gnu", "-linux-musl", "built for");
}

#[test]
fn what_is_left_out_takes_its_usual_value() {
    let text = sample()
        .replace("limits = { memory_mib = 256, threads = 8 }", "")
        .replace("isolation = \"device\"", "")
        .replace("network = false", "")
        .replace("config = { gain = \"3\" }", "");
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(
        manifest.limits,
        Limits {
            memory_mib: 512,
            threads: 8
        }
    );
    assert!(manifest.config.is_empty());
}
