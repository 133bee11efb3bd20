//! A process started with a socket, as the device host and the analyser are. It has no test harness, since
//! the test starts itself again as the child.

use std::path::Path;
use std::process::ExitCode;

use recueil_wire::{Error, Socket, command_with_socket, inherited_socket, socket_pair};

fn main() -> ExitCode {
    let outcome = if std::env::args().any(|arg| arg == "--child") {
        child()
    } else {
        a_child_finds_its_socket_once_and_nothing_on_standard_input()
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unprintable = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{error:?}\n"));
            ExitCode::FAILURE
        }
    }
}

fn a_child_finds_its_socket_once_and_nothing_on_standard_input() -> Result<(), Error> {
    let (ours, theirs) = socket_pair()?;
    let this_program = std::env::current_exe().map_err(Error::System)?;
    let mut child = command_with_socket(Path::new(&this_program), theirs)
        .arg("--child")
        .spawn()
        .map_err(Error::System)?;
    let ours = Socket::new(ours);
    ours.send(&"question", &[])?;
    let said: Vec<String> = ours.recv()?.message;
    assert_eq!(
        said,
        [
            "question",
            "empty environment",
            "nothing on stdin",
            "refused twice"
        ]
    );
    assert!(
        matches!(ours.recv::<String>(), Err(Error::Closed)),
        "the command was dropped, so the child's end is the only one"
    );
    assert!(child.wait().map_err(Error::System)?.success());
    Ok(())
}

fn child() -> Result<(), Error> {
    let socket = Socket::new(inherited_socket()?);
    let question = socket.recv::<String>()?.message;
    let environment = std::env::vars_os()
        .next()
        .map_or("empty environment", |_any| "an environment");
    let mut rest = String::new();
    let stdin = match std::io::stdin().read_line(&mut rest) {
        Ok(0) => "nothing on stdin",
        _ => "something on stdin",
    };
    let again = match inherited_socket() {
        Err(Error::NotInherited) => "refused twice",
        _ => "taken twice",
    };
    socket.send(&[question.as_str(), environment, stdin, again], &[])
}
