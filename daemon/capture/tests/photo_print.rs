//! A print on the glass is cut out right, or refused with the reason.

mod glass;

use glass::{Glass, Print, Seeded, Shadow, corner_error};
use recueil_capture::{PhotoProfile, Profile, face};

fn profile() -> PhotoProfile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml"))
        .unwrap()
        .photo
}

/// Sixty drawn scans of every kind.
#[test]
fn a_drawn_print_is_cut_right_or_refused() {
    let profile = profile();
    let mut wrong = Vec::new();
    let mut accepted = 0;
    for seed in 0..60_u64 {
        let mut random = Seeded(seed);
        let middle = (random.between(38.0, 67.0), random.between(38.0, 67.0));
        let mut print = Print::at(middle, random.between(-15.0, 15.0));
        let (mut name, mut must) = ("plain", true);
        let mut shadow = Some(Shadow {
            offset: (random.between(-1.2, 1.2), random.between(-1.2, 1.2)),
            blur_mm: random.between(0.15, 1.0),
            depth: random.between(0.1, 0.5),
        });
        let mut falloff = (0.02, 0.01);
        let mut lid = [241.0, 241.0, 239.0];
        let mut others = Vec::new();
        match seed % 6 {
            1 => {
                name = "dark lid, white border";
                lid = [38.0, 37.0, 40.0];
                print.border_mm = random.between(0.3, 3.0);
            }
            2 => {
                name = "no shadow";
                shadow = None;
            }
            3 => {
                (name, must) = ("white border, lid as white", false);
                lid = [249.0, 249.0, 247.0];
                print.border_mm = random.between(0.2, 3.0);
                if random.unit() < 0.7 {
                    shadow = None;
                }
                if random.unit() < 0.7 {
                    falloff = (0.0, 0.0);
                }
                print.border_mm = random.between(0.2, 1.2);
            }
            4 => {
                (name, must) = ("two that overlap", false);
                let aside = (
                    middle.0 + random.between(-30.0, 30.0),
                    middle.1 + random.between(-30.0, 30.0),
                );
                let mut under = Print::at(aside, random.between(-15.0, 15.0));
                under.background = [200.0, 200.0, 200.0];
                others.push(under);
            }
            5 => {
                name = "size within tolerance";
                print.size_mm = (random.between(34.7, 36.4), random.between(44.7, 46.4));
            }
            _ => {}
        }
        let truth = print.corners();
        others.push(print);
        let mut glass = Glass::with(others, seed);
        (glass.lid, glass.falloff, glass.shadow) = (lid, falloff, shadow);
        let frame = glass.scan();
        let start = std::time::Instant::now();
        let result = face::find_print(&frame, &profile);
        let took = start.elapsed().as_millis();
        if let Ok(dir) = std::env::var("DUMP") {
            let i = image::RgbImage::from_raw(frame.info.width, frame.info.height, frame.pixels.to_vec())
                .unwrap();
            i.save(format!("{dir}/scan{seed}.png")).unwrap();
        }
        match result {
            Ok(photo) => {
                accepted += 1;
                let error = corner_error(&photo.corners, &truth);
                println!("{seed:2} {name:27} {error:6.2} px {took} ms");
                if error > 12.0 {
                    wrong.push(format!("seed {seed} ({name}): {error:.1} px"));
                }
            }
            Err(refusal) => {
                println!("{seed:2} {name:27} {:?} {took} ms", refusal.guidance);
                for criterion in &refusal.criteria {
                    println!(
                        "      {} {:.2} {}",
                        criterion.code, criterion.value, criterion.pass
                    );
                }
                if must {
                    wrong.push(format!("seed {seed} ({name}): {:?}", refusal.guidance));
                }
            }
        }
    }
    println!("accepted {accepted}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
