//! System call rules as a program for the kernel (classic BPF, seccomp(2)).
//!
//! The program finds a call's number by halving, so that a call is answered in some ten steps. The kernel runs
//! it once for every number there is when it takes it in; a plain list of comparisons takes longer there than
//! all the rest of a host's start.

use std::collections::BTreeMap;

use seccompiler::sock_filter;

/// A call by its number, with all that must hold of its arguments.
pub(super) type Rule = (i64, Vec<Argument>);

/// What an argument must be for a rule to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Argument {
    /// From 0.
    pub(super) index: u8,
    /// What it must be.
    pub(super) is: Is,
}

/// A comparison.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    /// An `int` whose bits of the first are those of the second; the upper half of the register is noise.
    Bits(u32, u32),
    /// An `int` that is anything but this.
    Not(u32),
    /// A pointer that is NULL.
    Null,
    /// A pointer that is not.
    NotNull,
}

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// This error number.
    Refuse(i32),
    /// The end of the process.
    Kill,
}

/// Why a program cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No numbers are known for it.
    #[error("no rules for this processor")]
    Processor,
    /// One of our own rules is wrong.
    #[error("a rule that cannot be written down")]
    Rule,
}

/// Where the kernel puts what a program looks at (struct `seccomp_data`, seccomp(2)).
const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;
/// `AUDIT_ARCH_*` (linux/audit.h).
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// The program: of the rules for a call the first that holds decides, and `otherwise` where none does.
pub(super) fn program(rules: Vec<(Rule, Verdict)>, otherwise: Verdict) -> Result<Vec<sock_filter>, Error> {
    let mut by_call: BTreeMap<u32, Vec<(Vec<Argument>, Verdict)>> = BTreeMap::new();
    for ((call, arguments), verdict) in rules {
        let call = u32::try_from(call).map_err(|_negative| Error::Rule)?;
        by_call.entry(call).or_default().push((arguments, verdict));
    }
    let arch = ARCH.ok_or(Error::Processor)?;
    let mut program = vec![
        load(ARCH_OFFSET),
        jump_if_equal(arch, 1, 0),
        give(Verdict::Kill),
        load(NUMBER_OFFSET),
    ];
    program.extend(tree(&ranges(&by_call, otherwise)?)?);
    Ok(program)
}

/// Numbers from `first` on, up to the next range, that get the same answer.
struct Range {
    first: u32,
    answer: Vec<sock_filter>,
}

fn ranges(
    by_call: &BTreeMap<u32, Vec<(Vec<Argument>, Verdict)>>,
    otherwise: Verdict,
) -> Result<Vec<Range>, Error> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |first: u32, answer: Vec<sock_filter>| {
        if ranges.last().is_none_or(|last| last.answer != answer) {
            ranges.push(Range { first, answer });
        }
    };
    let mut next = 0;
    for (call, rules) in by_call {
        if *call > next {
            add(next, vec![give(otherwise)]);
        }
        add(*call, answer(rules, otherwise)?);
        next = call + 1;
    }
    add(next, vec![give(otherwise)]);
    Ok(ranges)
}

fn tree(ranges: &[Range]) -> Result<Vec<sock_filter>, Error> {
    if let [range] = ranges {
        return Ok(range.answer.clone());
    }
    let (below, from) = ranges.split_at(ranges.len() / 2);
    let pivot = from.first().ok_or(Error::Rule)?.first;
    let below = tree(below)?;
    let over_below = u32::try_from(below.len()).map_err(|_too_long| Error::Rule)?;
    let mut code = vec![jump_if_at_least(pivot, 0, 1), jump(over_below)];
    code.extend(below);
    code.extend(tree(from)?);
    Ok(code)
}

fn answer(rules: &[(Vec<Argument>, Verdict)], otherwise: Verdict) -> Result<Vec<sock_filter>, Error> {
    let mut code = Vec::new();
    for (arguments, verdict) in rules {
        let mut rule = vec![give(*verdict)];
        for argument in arguments.iter().rev() {
            let mut check = comparison(*argument, rule.len())?;
            check.append(&mut rule);
            rule = check;
        }
        code.append(&mut rule);
        if arguments.is_empty() {
            return Ok(code);
        }
    }
    code.push(give(otherwise));
    Ok(code)
}

/// Goes on if it holds, else jumps over `rest` instructions.
fn comparison(argument: Argument, rest: usize) -> Result<Vec<sock_filter>, Error> {
    let rest = u8::try_from(rest).map_err(|_too_long| Error::Rule)?;
    let over_two_more = rest.checked_add(2).ok_or(Error::Rule)?;
    let low = ARGUMENTS_OFFSET + 8 * u32::from(argument.index);
    let high = low + 4;
    Ok(match argument.is {
        Is::Bits(u32::MAX, value) => vec![load(low), jump_if_equal(value, 0, rest)],
        Is::Bits(mask, value) => vec![load(low), keep_bits(mask), jump_if_equal(value, 0, rest)],
        Is::Not(value) => vec![load(low), jump_if_equal(value, rest, 0)],
        Is::Null => vec![
            load(low),
            jump_if_equal(0, 0, over_two_more),
            load(high),
            jump_if_equal(0, 0, rest),
        ],
        Is::NotNull => vec![
            load(low),
            jump_if_equal(0, 0, 2),
            load(high),
            jump_if_equal(0, rest, 0),
        ],
    })
}

// The few instructions that are used (linux/bpf_common.h), by what they do.
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

fn load(offset: u32) -> sock_filter {
    instruction(LOAD_WORD, offset, 0, 0)
}

fn keep_bits(mask: u32) -> sock_filter {
    instruction(AND, mask, 0, 0)
}

fn jump(over: u32) -> sock_filter {
    instruction(JUMP, over, 0, 0)
}

fn jump_if_equal(value: u32, then_over: u8, else_over: u8) -> sock_filter {
    instruction(JUMP_IF_EQUAL, value, then_over, else_over)
}

fn jump_if_at_least(value: u32, then_over: u8, else_over: u8) -> sock_filter {
    instruction(JUMP_IF_AT_LEAST, value, then_over, else_over)
}

fn give(verdict: Verdict) -> sock_filter {
    let value = match verdict {
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    instruction(RETURN, value, 0, 0)
}

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERWISE: Verdict = Verdict::Refuse(38);

    /// Runs a program on one call, as the kernel would.
    fn run(program: &[sock_filter], call: u32, arguments: [u64; 3]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER_OFFSET => call,
            ARCH_OFFSET => ARCH.unwrap(),
            _ => {
                let argument = arguments[usize::try_from((offset - ARGUMENTS_OFFSET) / 8).unwrap()];
                let shifted = if offset.is_multiple_of(8) {
                    argument
                } else {
                    argument >> 32
                };
                u32::try_from(shifted & 0xffff_ffff).unwrap()
            }
        };
        let (mut at, mut value) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            let mut branch = |holds: bool| at += usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                LOAD_WORD => value = word(step.k),
                AND => value &= step.k,
                JUMP => at += usize::try_from(step.k).unwrap(),
                JUMP_IF_EQUAL => branch(value == step.k),
                JUMP_IF_AT_LEAST => branch(value >= step.k),
                _ => return step.k,
            }
        }
    }

    /// The same decision, without a program.
    fn decide(rules: &[(Rule, Verdict)], call: u32, arguments: [u64; 3]) -> Verdict {
        let holds = |argument: &Argument| {
            let value = arguments[usize::from(argument.index)];
            let int = u32::try_from(value & 0xffff_ffff).unwrap();
            match argument.is {
                Is::Bits(mask, bits) => int & mask == bits,
                Is::Not(other) => int != other,
                Is::Null => value == 0,
                Is::NotNull => value != 0,
            }
        };
        let of_call = rules.iter().filter(|((number, _), _)| *number == i64::from(call));
        of_call
            .into_iter()
            .find(|((_, wanted), _)| wanted.iter().all(holds))
            .map_or(OTHERWISE, |(_, verdict)| *verdict)
    }

    #[test]
    fn a_program_decides_as_its_rules_do() {
        let int = |index, is| Argument { index, is };
        let rules = vec![
            ((0, vec![]), Verdict::Allow),
            ((1, vec![]), Verdict::Allow),
            ((5, vec![int(0, Is::Bits(0xf0, 0x10))]), Verdict::Kill),
            (
                (5, vec![int(0, Is::Not(7)), int(2, Is::NotNull)]),
                Verdict::Refuse(1),
            ),
            ((5, vec![int(1, Is::Null)]), Verdict::Allow),
            ((9, vec![int(0, Is::Bits(u32::MAX, 7))]), Verdict::Allow),
            ((10, vec![]), Verdict::Refuse(1)),
            ((300, vec![]), Verdict::Kill),
        ];
        let made = program(rules.clone(), OTHERWISE).unwrap();
        let values = [0, 7, 0x10, 0x17, 1 << 32, 7 | 1 << 40, u64::MAX];
        for call in (0..12).chain([299, 300, 301, 0x4000_0001, u32::MAX]) {
            for first in values {
                for second in values {
                    for third in values {
                        let arguments = [first, second, third];
                        let wanted = give(decide(&rules, call, arguments)).k;
                        assert_eq!(run(&made, call, arguments), wanted, "{call} {arguments:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_call_of_another_processor_ends_the_process() {
        let made = program(Vec::new(), Verdict::Allow).unwrap();
        assert_eq!(made[1].k, ARCH.unwrap());
        assert_eq!(made[2].k, libc::SECCOMP_RET_KILL_PROCESS);
    }
}
