//! The project's verbs: `cargo xtask VERB`. Each installs what it needs.

mod bench;
mod demo;
mod packages;
mod run;
mod test;

use std::process::ExitCode;

/// Every verb: its name, what it does, and the code.
const VERBS: &[(&str, &str, fn(&[String]) -> anyhow::Result<()>)] = &[
    (
        "demo",
        "an application from its QR code to receipt and hand-over [--out DIR]",
        demo::run,
    ),
    ("test", "every test that CI runs", test::run),
    ("bench", "speed and memory beside rivals, as ratios", bench::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        run::say("cargo xtask VERB, where VERB is one of");
        for (name, what, _) in VERBS {
            run::say(&format!("  {name:8} {what}"));
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, _, verb)) = VERBS.iter().find(|(verb, _, _)| verb == name) else {
        run::say(&format!(
            "there is no verb {name}; `cargo xtask` alone lists them"
        ));
        return ExitCode::from(2);
    };
    match verb(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
