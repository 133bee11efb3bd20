//! The header, compiled by the C compiler, beside the mirror.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{CONSTANTS, NAMES, STRUCTS};

pub(crate) struct StructLayout {
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: &'static [FieldLayout],
}

pub(crate) struct FieldLayout {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

pub(crate) const fn c_name(rust: &'static str, c: &[&'static str]) -> &'static str {
    if c.is_empty() { rust } else { c[0] }
}

#[test]
fn the_mirror_is_laid_out_as_the_compiled_header() {
    let compiled = compile_and_run(&program_that_prints_everything());
    assert_eq!(compiled, what_the_mirror_says());
}

#[test]
fn every_name_of_the_header_is_in_the_mirror() {
    let mirrored: BTreeSet<&str> = CONSTANTS
        .iter()
        .map(|(name, _)| *name)
        .chain(NAMES.iter().map(|(name, _)| *name))
        .chain(STRUCTS.iter().map(|layout| layout.name))
        .collect();
    let only_c = BTreeSet::from(["RCL_EXPORT", "rcl_status"]);
    let header = without_comments(&std::fs::read_to_string(header_path()).unwrap());
    let words = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let forgotten: BTreeSet<&str> = words
        .filter(|word| word.starts_with("RCL_") || word.starts_with("rcl_"))
        .filter(|word| !mirrored.contains(word) && !only_c.contains(word))
        .collect();
    assert!(forgotten.is_empty(), "not mirrored: {forgotten:?}");
}

#[test]
fn fields_follow_each_other_without_padding() {
    for layout in STRUCTS {
        let end = layout.fields.iter().fold(0, |end, field| {
            assert_eq!(field.offset, end, "{}.{}", layout.name, field.name);
            end + field.size
        });
        assert_eq!(
            end, layout.size,
            "{} has a tail that no field covers",
            layout.name
        );
    }
}

#[test]
fn the_header_compiles_as_c99_and_as_cpp11_without_a_warning() {
    let strict = [
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Wpadded",
        "-Werror",
        "-fsyntax-only",
    ];
    for (compiler, language) in [("cc", ["-std=c99", "-xc"]), ("c++", ["-std=c++11", "-xc++"])] {
        let mut command = Command::new(compiler);
        command.args(strict).args(language);
        run(
            command.arg("-I").arg(include_dir()).arg("-"),
            "#include <recueil_plugin.h>\n",
        );
    }
}

fn program_that_prints_everything() -> String {
    let mut body = String::new();
    for (name, _) in CONSTANTS {
        writeln!(body, "printf(\"{name} %lld\\n\", (long long){name});").unwrap();
    }
    for (name, _) in NAMES {
        writeln!(body, "printf(\"{name} %s\\n\", {name});").unwrap();
    }
    for StructLayout { name, fields, .. } in STRUCTS {
        writeln!(body, "printf(\"{name} %zu\\n\", sizeof({name}));").unwrap();
        for FieldLayout { name: field, .. } in *fields {
            let c = format!("offsetof({name}, {field}), sizeof((({name} *)0)->{field})");
            writeln!(body, "printf(\"{name}.{field} %zu %zu\\n\", {c});").unwrap();
        }
    }
    format!(
        "#include <recueil_plugin.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n{body}return 0;\n}}\n"
    )
}

fn what_the_mirror_says() -> String {
    let mut said = String::new();
    for (name, value) in CONSTANTS {
        writeln!(said, "{name} {value}").unwrap();
    }
    for (name, value) in NAMES {
        writeln!(said, "{name} {}", value.to_str().unwrap()).unwrap();
    }
    for layout in STRUCTS {
        writeln!(said, "{} {}", layout.name, layout.size).unwrap();
        for field in layout.fields {
            writeln!(
                said,
                "{}.{} {} {}",
                layout.name, field.name, field.offset, field.size
            )
            .unwrap();
        }
    }
    said
}

fn compile_and_run(program: &str) -> String {
    let out_dir = std::env::temp_dir().join(format!("recueil-abi-{}", std::process::id()));
    std::fs::create_dir_all(&out_dir).unwrap();
    let binary = out_dir.join("layout");
    let mut command = Command::new("cc");
    command
        .args(["-std=c99", "-xc", "-I"])
        .arg(include_dir())
        .arg("-o")
        .arg(&binary);
    run(command.arg("-"), program);
    let said = run(&mut Command::new(&binary), "");
    std::fs::remove_dir_all(out_dir).unwrap();
    said
}

fn run(command: &mut Command, input: &str) -> String {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started ({error}): install gcc and g++"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn without_comments(source: &str) -> String {
    source
        .split("/*")
        .enumerate()
        .map(|(index, part)| match part.split_once("*/") {
            Some((_comment, code)) if index > 0 => code,
            _ => part,
        })
        .collect()
}

fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../include")
}

fn header_path() -> PathBuf {
    include_dir().join("recueil_plugin.h")
}
