//! The project's verbs: `cargo xtask VERB`. Each installs what it needs.

mod bench;
mod deb;
mod demo;
mod disk;
mod faults;
mod fuzz;
mod packages;
mod run;
mod soak;
mod test;
mod vm;

use std::process::ExitCode;

/// A verb.
struct Verb {
    name: &'static str,
    what: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        what: "an application from its QR code to receipt and hand-over [--out DIR]",
        run: demo::run,
    },
    Verb {
        name: "test",
        what: "every test that CI runs",
        run: test::run,
    },
    Verb {
        name: "bench",
        what: "speed and memory beside rivals, as ratios",
        run: bench::run,
    },
    Verb {
        name: "deb",
        what: "the Debian packages [--out DIR] [--built DIR]",
        run: deb::run,
    },
    Verb {
        name: "vm",
        what: "power cuts in a guest of qemu [--rounds N] [--seed S] [--built DIR]",
        run: vm::run,
    },
    Verb {
        name: "faults",
        what: "what CI tries of the faults, whole: line [--all], disk [--seed N] [--all], matrix [FAULT]",
        run: faults::run,
    },
    Verb {
        name: "soak",
        what: "a station at work under faults [--minutes N] [--seed S]",
        run: soak::run,
    },
    Verb {
        name: "fuzz",
        what: "libFuzzer on each parser of outside bytes, or on one [TARGET] [--seconds N]",
        run: fuzz::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        run::say("cargo xtask VERB, where VERB is one of");
        for Verb { name, what, .. } in VERBS {
            run::say(&format!("  {name:8} {what}"));
        }
        return ExitCode::SUCCESS;
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        run::say(&format!(
            "there is no verb {name}; `cargo xtask` alone lists them"
        ));
        return ExitCode::from(2);
    };
    match (verb.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
