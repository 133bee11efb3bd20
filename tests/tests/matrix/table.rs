//! The matrix as data: what happens in each state with each fault, and what cannot happen and why.

use std::fmt::Write as _;

use recueil_bus::Code;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($variant,)* }

        impl $name {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// What the station is at when bad luck comes.
    State {
        NoLease = "no lease",
        Leased = "leased",
        Capturing = "capturing",
        Analysing = "analysing",
        Closing = "closing",
        Sealing = "sealing",
        Sending = "sending",
        Suspended = "suspended",
    }
}

named! {
    /// Bad luck and bad company.
    Fault {
        ClientKilled = "client killed",
        ClientNeverReads = "client never reads",
        ClientCallsTwice = "client calls twice",
        SecondClient = "second client",
        PluginCrashes = "plugin crashes",
        PluginHangs = "plugin hangs",
        PluginIgnoresCancel = "plugin ignores cancel",
        LiesAboutSize = "lies about size",
        LiesAboutStride = "lies about stride",
        LiesAboutPosition = "lies about position",
        LiesAboutTime = "lies about time",
        LiesAboutResolution = "lies about resolution",
        SendsGarbage = "sends garbage",
        DeviceUnplugged = "device unplugged",
        DeviceComesBack = "device comes back",
        HostdKilled = "hostd killed",
        AnalyserKilled = "analyser killed",
        CourierKilled = "courier killed",
        RecueildKilled = "recueild killed",
        BusRestarted = "bus daemon restarted",
        DiskFull = "disk full",
        DiskReadOnly = "disk read-only",
        ClockJumps = "clock jumps",
        SuspendAndResume = "suspend and resume",
    }
}

named! {
    /// Why a cell cannot occur. Each has its test in `guards.rs`.
    Guard {
        NoFrameOutsideACapture = "a picture outside a capture is refused by the host",
        LyingFrameIsNotPassedOn = "a picture whose description lies is refused before the analyser has it",
        NoCaptureToCancel = "without a capture there is nothing to cancel",
        NoAnalyserOutsideACapture = "an analyser lives as long as its capture",
        NoHostWhileAsleep = "no plugin runs while the machine sleeps",
    }
}

impl Guard {
    /// The test that shows it.
    pub(crate) fn test(self) -> &'static str {
        match self {
            Self::NoFrameOutsideACapture => "a_picture_outside_a_capture_is_refused",
            Self::LyingFrameIsNotPassedOn => "a_picture_that_lies_is_not_passed_on",
            Self::NoCaptureToCancel => "a_plugin_is_cancelled_in_captures_only",
            Self::NoAnalyserOutsideACapture => "an_analyser_lives_as_long_as_its_capture",
            Self::NoHostWhileAsleep => "no_plugin_runs_while_the_machine_sleeps",
        }
    }
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// What was begun comes to its end; where a process was lost, after `Adopt`.
    RiddenOut,
    /// The client is told by this name, with what to do; then the same works.
    Error(Code),
    /// It cannot occur.
    Impossible(Guard),
}

impl Cell {
    /// As the table in `tests/FAULTS.md` has it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::RiddenOut => "ridden out".to_owned(),
            Self::Error(code) => format!("`{}`", code.as_str()),
            Self::Impossible(guard) => {
                let number = Guard::ALL.iter().position(|known| *known == guard);
                format!("– {}", number.map_or(0, |number| number + 1))
            }
        }
    }
}

/// What a fault does to those who have nothing to do with it: the witness at another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nothing.
    Undisturbed,
    /// What they shared with it ended, by this name.
    CaptureEnds(Code),
    /// The service itself ended; their drafts are there when it is back.
    ServiceRestarts,
}

impl Fault {
    pub(crate) fn others(self) -> Others {
        match self {
            Self::HostdKilled => Others::CaptureEnds(Code::DevicesUnavailable),
            Self::SuspendAndResume => Others::CaptureEnds(Code::Suspended),
            Self::RecueildKilled | Self::BusRestarted | Self::DiskReadOnly => Others::ServiceRestarts,
            _ => Others::Undisturbed,
        }
    }
}

const OK: Cell = Cell::RiddenOut;
const TOLD_BUSY: Cell = Cell::Error(Code::Busy);
const TOLD_STORAGE: Cell = Cell::Error(Code::Storage);
const TOLD_LIE: Cell = Cell::Error(Code::PluginMisbehaved);
const NO_FRAME: Cell = Cell::Impossible(Guard::NoFrameOutsideACapture);
const NOT_ON: Cell = Cell::Impossible(Guard::LyingFrameIsNotPassedOn);
const NO_CANCEL: Cell = Cell::Impossible(Guard::NoCaptureToCancel);
const NO_ANALYSER: Cell = Cell::Impossible(Guard::NoAnalyserOutsideACapture);
const NO_HOST: Cell = Cell::Impossible(Guard::NoHostWhileAsleep);

const fn told(code: Code) -> Cell {
    Cell::Error(code)
}

/// One row a fault; its cells in the order of [`State::ALL`].
#[rustfmt::skip]
pub(crate) const TABLE: [(Fault, [Cell; 8]); 24] = {
    use Fault as F;
    use Code as C;
    [
    //                          no lease             leased               capturing                    analysing                    closing      sealing       sending      suspended
    (F::ClientKilled,          [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::ClientNeverReads,      [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::ClientCallsTwice,      [OK,                  OK,                  TOLD_BUSY,                   TOLD_BUSY,                   TOLD_BUSY,   OK,           OK,          told(C::Suspended)]),
    (F::SecondClient,          [TOLD_BUSY,           TOLD_BUSY,           TOLD_BUSY,                   TOLD_BUSY,                   TOLD_BUSY,   OK,           OK,     told(C::Suspended)]),
    (F::PluginCrashes,         [OK,                  OK,                  told(C::PluginCrashed),      told(C::PluginCrashed),      OK,          OK,           OK,          NO_HOST]),
    (F::PluginHangs,           [OK,                  OK,                  told(C::PluginHung),         told(C::PluginHung),         OK,          OK,           OK,          NO_HOST]),
    (F::PluginIgnoresCancel,   [NO_CANCEL,           NO_CANCEL,           OK,                          OK,                          NO_CANCEL,   NO_CANCEL,    NO_CANCEL,   NO_HOST]),
    (F::LiesAboutSize,         [NO_FRAME,            NO_FRAME,            TOLD_LIE,                    NOT_ON,                      NO_FRAME,    NO_FRAME,     NO_FRAME,    NO_HOST]),
    (F::LiesAboutStride,       [NO_FRAME,            NO_FRAME,            TOLD_LIE,                    NOT_ON,                      NO_FRAME,    NO_FRAME,     NO_FRAME,    NO_HOST]),
    (F::LiesAboutPosition,     [NO_FRAME,            NO_FRAME,            TOLD_LIE,                    OK,                          NO_FRAME,    NO_FRAME,     NO_FRAME,    NO_HOST]),
    (F::LiesAboutTime,         [NO_FRAME,            NO_FRAME,            TOLD_LIE,                    NOT_ON,                      NO_FRAME,    NO_FRAME,     NO_FRAME,    NO_HOST]),
    (F::LiesAboutResolution,   [NO_FRAME,            NO_FRAME,            OK,                          OK,                          NO_FRAME,    NO_FRAME,     NO_FRAME,    NO_HOST]),
    (F::SendsGarbage,          [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          NO_HOST]),
    (F::DeviceUnplugged,       [told(C::UnknownDevice), told(C::UnknownDevice), told(C::DeviceGone),   told(C::DeviceGone),         OK,          OK,           OK,          told(C::UnknownDevice)]),
    (F::DeviceComesBack,       [OK,                  OK,                  told(C::DeviceGone),         told(C::DeviceGone),         OK,          OK,           OK,          OK]),
    (F::HostdKilled,           [OK,                  OK,                  told(C::DevicesUnavailable), told(C::DevicesUnavailable), OK,          OK,           OK,          OK]),
    (F::AnalyserKilled,        [NO_ANALYSER,         NO_ANALYSER,         told(C::AnalyserEnded),      told(C::AnalyserEnded),      OK,          NO_ANALYSER,  NO_ANALYSER, NO_ANALYSER]),
    (F::CourierKilled,         [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::RecueildKilled,        [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::BusRestarted,          [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::DiskFull,              [TOLD_STORAGE,        TOLD_STORAGE,        TOLD_STORAGE,                TOLD_STORAGE,                TOLD_STORAGE, TOLD_STORAGE, OK,         TOLD_STORAGE]),
    (F::DiskReadOnly,          [TOLD_STORAGE,        TOLD_STORAGE,        TOLD_STORAGE,                TOLD_STORAGE,                TOLD_STORAGE, TOLD_STORAGE, OK,         TOLD_STORAGE]),
    (F::ClockJumps,            [OK,                  OK,                  OK,                          OK,                          OK,          OK,           OK,          OK]),
    (F::SuspendAndResume,      [OK,                  OK,                  told(C::Suspended),          told(C::Suspended),          OK,          OK,           OK,          OK]),
    ]
};

/// The cell of a state and a fault.
pub(crate) fn cell(state: State, fault: Fault) -> Option<Cell> {
    let (_, cells) = TABLE.iter().find(|(known, _)| *known == fault)?;
    let column = State::ALL.iter().position(|known| *known == state)?;
    cells.get(column).copied()
}

/// Cells that are ridden out, that are told by a name, that cannot occur.
pub(crate) fn counts() -> (usize, usize, usize) {
    let cells = || TABLE.iter().flat_map(|(_, cells)| cells);
    let count = |which: fn(&Cell) -> bool| cells().filter(|cell| which(cell)).count();
    (
        count(|cell| *cell == Cell::RiddenOut),
        count(|cell| matches!(cell, Cell::Error(_))),
        count(|cell| matches!(cell, Cell::Impossible(_))),
    )
}

/// The table in Markdown, as `tests/FAULTS.md` has it.
#[expect(clippy::unwrap_used, reason = "writing into text does not fail")]
pub(crate) fn markdown() -> String {
    let mut text = String::from("| |");
    for state in State::ALL {
        write!(text, " {} |", state.name()).unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(State::ALL.len()));
    for (fault, cells) in TABLE {
        write!(text, "\n| {} |", fault.name()).unwrap();
        for cell in cells {
            write!(text, " {} |", cell.text()).unwrap();
        }
    }
    let (ridden, told, impossible) = counts();
    writeln!(
        text,
        "\n\n{} cells: {ridden} ridden out, {told} told by a name, {impossible} that cannot occur, because\n",
        ridden + told + impossible
    )
    .unwrap();
    for (number, guard) in Guard::ALL.iter().enumerate() {
        writeln!(text, "- – {}: {} (`{}`)", number + 1, guard.name(), guard.test()).unwrap();
    }
    text
}
