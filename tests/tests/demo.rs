//! The demo, as a newcomer runs it, and what it leaves, opened by strangers' tools.

use std::process::Command;

use recueil_tests::{binary, project_path};

#[test]
fn the_demo_ends_with_a_parcel_that_openssl_opens_and_verifies() -> anyhow::Result<()> {
    let out = tempfile::tempdir()?;
    let demo = Command::new(binary("recueil-demo")?)
        .arg("--out")
        .arg(out.path())
        .output()?;
    let told = String::from_utf8_lossy(&demo.stderr);
    anyhow::ensure!(demo.status.success(), "{told}");
    assert!(told.contains("the title is handed over"), "{told}");
    for name in [
        "parcel.p7m",
        "cert.pem",
        "cert.key",
        "ca.pem",
        "receipt-r1.p7s",
        "receipt-r2.p7s",
        "contact-sheet.png",
    ] {
        anyhow::ensure!(out.path().join(name).is_file(), "{name} is missing");
    }
    let sheet = image::open(out.path().join("contact-sheet.png"))?.to_rgb8();
    let background = sheet.get_pixel(0, 0);
    assert!(
        sheet.pixels().filter(|pixel| *pixel != background).count() > 100_000,
        "an empty sheet"
    );
    let check = Command::new(project_path("tests/verify-parcel.sh"))
        .arg(out.path())
        .output()?;
    let text = String::from_utf8_lossy(&check.stdout);
    anyhow::ensure!(
        check.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&check.stderr)
    );
    Ok(())
}
