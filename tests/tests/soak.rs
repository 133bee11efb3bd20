//! A short soak: `cargo xtask soak` is the long one.

use std::process::Command;

#[test]
fn a_station_at_rest_holds_what_it_held_before_faults_struck() -> anyhow::Result<()> {
    // Counted in faults, so that a slow machine has the same to do.
    let soak = Command::new(recueil_tests::binary("recueil-soak")?)
        .args(["--events", "16", "--seed", "1"])
        .output()?;
    let told = String::from_utf8_lossy(&soak.stdout);
    assert!(soak.status.success(), "{told}");
    assert!(
        told.contains("killed: recueild") || told.contains("restarted: recueild"),
        "{told}"
    );
    Ok(())
}
