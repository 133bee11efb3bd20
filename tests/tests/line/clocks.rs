//! A clock that is wrong by a year, at the station or at CERT (libfaketime, Debian package `faketime`): it is named,
//! nothing is trusted and nothing erased because of it, and it goes on when the clock is right again.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use recueil_cert::proxy::Manner;
use recueil_tests::{Options, clock};

use crate::rig::Rig;

/// Whose clock is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Stations,
    Certs,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_a_year_ahead_names_its_clock_and_erases_nothing() -> anyhow::Result<()> {
    wrong(
        Whose::Stations,
        "+366d",
        "by this station's clock, and CERT's certificate was valid until",
        false,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_a_year_behind_names_its_clock_and_erases_nothing() -> anyhow::Result<()> {
    wrong(
        Whose::Stations,
        "-366d",
        "by this station's clock, and CERT's certificate is valid from",
        false,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cert_a_year_ahead_is_named_and_nothing_erased() -> anyhow::Result<()> {
    wrong(
        Whose::Certs,
        "+366d",
        "station's TLS certificate is not valid today",
        false,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cert_a_year_behind_is_named_and_nothing_erased() -> anyhow::Result<()> {
    wrong(
        Whose::Certs,
        "-366d",
        "station's TLS certificate is not valid today",
        false,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_less_than_certificates_last_are_told_and_parcels_go() -> anyhow::Result<()> {
    wrong(
        Whose::Stations,
        "+100d",
        "this station's clock is 100 days ahead of CERT's",
        true,
    )
    .await?;
    wrong(
        Whose::Certs,
        "+100d",
        "this station's clock is 100 days behind CERT's",
        true,
    )
    .await
}

/// A dossier is sealed while all is well and CERT away; CERT comes back, with the clock turned.
async fn wrong(whose: Whose, by: &str, told: &str, goes: bool) -> anyhow::Result<()> {
    if clock::library().is_none() {
        let line = "SKIPPED: libfaketime is missing (Debian package faketime)\n";
        return Ok(std::io::stderr().write_all(line.as_bytes())?);
    }
    let folder = tempfile::tempdir()?;
    open(folder.path())?;
    let file: PathBuf = folder.path().join("clock");
    clock::turn(&file, "+0")?;
    let file_of = |who: Whose| (who == whose).then(|| file.clone());
    let options = Options {
        clock: file_of(Whose::Stations),
        cert_clock: file_of(Whose::Certs),
        ..Options::default()
    };
    let rig = Rig::start_with(options).await?;
    let told = suffer(&rig, &file, by, told, goes).await;
    told.with_context(|| rig.logs())
}

async fn suffer(rig: &Rig, file: &std::path::Path, by: &str, told: &str, goes: bool) -> anyhow::Result<()> {
    let mut client = rig.client().await?;
    let dossier = rig.complete(&client).await?;
    rig.line().treat(Manner::Refuse);
    dossier.dossier.seal().await?;
    rig.until_told("CERT cannot be reached").await?;
    clock::turn(file, by)?;
    rig.line().treat(Manner::Carry);
    rig.until_told(told).await?;
    if !goes {
        ensure!(rig.has_parcel(&dossier.id), "a parcel was erased early");
        let state = dossier.dossier.view().await?.state;
        ensure!(
            ["sealed", "sending"].contains(&state.as_str()),
            "the dossier is {state}"
        );
        clock::turn(file, "+0")?;
    }
    client.until_state(&dossier, "in-instruction").await?;
    ensure!(
        !rig.has_parcel(&dossier.id),
        "a parcel is kept after its final receipt"
    );
    rig.has_one_fate(&dossier.id, "ingested")?;
    rig.has_no_alarm()?;
    client.leave().await
}

/// Services under other users read the clock there.
fn open(folder: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}
