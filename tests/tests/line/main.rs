//! Faults between a station and CERT, through the whole product: each is brought about, what whoever looks after the
//! station reads is compared, nothing is erased meanwhile and nobody else held up, and once it is lifted the dossier
//! comes to its one end. The faults are data (`faults.rs`).

mod clocks;
mod faults;
mod page;
mod rig;

use std::io::Write;

use anyhow::{Context, ensure};
use faults::{ALL, ANSWERS, Cause, Fate, Fault, LINE, Others, RECEIPTS};
use rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_line_are_named_and_ridden_out() -> anyhow::Result<()> {
    suffer(LINE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_certs_answers_are_named_and_ridden_out() -> anyhow::Result<()> {
    suffer(ANSWERS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_are_not_true_are_named_and_erase_nothing() -> anyhow::Result<()> {
    suffer(RECEIPTS).await
}

#[test]
fn the_page_of_the_faults_is_this_table() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(recueil_tests::project_path("tests/FAULTS-LINE.md"))?;
    let table = page::table(&ALL);
    ensure!(
        page.contains(&table),
        "tests/FAULTS-LINE.md should hold this:\n{table}"
    );
    Ok(())
}

async fn suffer(faults: &[Fault]) -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    for fault in faults {
        let begun = std::time::Instant::now();
        let suffered = one(&mut rig, fault).await;
        suffered.with_context(|| format!("{}\n{}", fault.name, rig.logs()))?;
        let fate = page::fate(fault.fate);
        writeln!(
            std::io::stderr(),
            "{:60} {fate:20} {:.1} s",
            fault.name,
            begun.elapsed().as_secs_f32()
        )?;
    }
    Ok(())
}

async fn one(rig: &mut Rig, fault: &Fault) -> anyhow::Result<()> {
    let mut client = rig.client().await?;
    let dossier = rig.complete(&client).await?;
    let impostor = rig.bring_about(&fault.cause, &dossier.id).await?;
    dossier.dossier.seal().await?;
    // What mends itself may be gone by the time it is looked at.
    let stays = !fault.told.is_empty() && !matches!(fault.cause, Cause::Dead(_));
    if !fault.told.is_empty() {
        rig.until_told(fault.told).await?;
    }
    if stays {
        ensure!(rig.has_parcel(&dossier.id), "a parcel was erased early");
        let state = dossier.dossier.view().await?.state;
        let under_way = ["sealed", "sending", "stored"].contains(&state.as_str());
        ensure!(under_way, "the dossier is {state} while the fault lasts");
    }
    let other = rig.complete(&client).await?;
    if fault.fate == Fate::Ingested {
        other.dossier.seal().await?;
    }
    if fault.others == Others::Go && fault.fate == Fate::Ingested {
        let gone = client.until_state(&other, "in-instruction").await;
        gone.context("another parcel is held up")?;
        if stays {
            // It still stands, however long the other took.
            rig.until_told(fault.told).await?;
            ensure!(rig.has_parcel(&dossier.id), "a parcel was erased early");
        }
    }

    rig.lift(fault, impostor).await?;
    match fault.fate {
        Fate::Ingested => {
            for sent in [&dossier, &other] {
                client.until_state(sent, "in-instruction").await?;
                ensure!(
                    !rig.has_parcel(&sent.id),
                    "a parcel is kept after its final receipt"
                );
                rig.has_one_fate(&sent.id, "ingested")?;
            }
        }
        Fate::Refused => {
            let refused = client.until_state(&dossier, "refused").await?;
            ensure!(refused.refusal.is_some(), "the reason is told");
            ensure!(
                rig.has_parcel(&dossier.id),
                "it is kept until the refusal is acknowledged"
            );
            dossier.dossier.acknowledge_refusal().await?;
            ensure!(!rig.has_parcel(&dossier.id), "it is erased then");
            rig.has_one_fate(&dossier.id, "refused")?;
            other.dossier.cancel().await?;
        }
    }
    if !matches!(fault.cause, Cause::Cert(order) if order.contains("conflict")) {
        rig.has_no_alarm()?;
    }
    client.leave().await
}
