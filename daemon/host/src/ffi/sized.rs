//! Structs that begin with their size, and strings, read from the plugin's side.

use std::ffi::c_char;

use recueil_abi as abi;

/// A struct of the contract whose first field is its `size` (rule R1).
///
/// # Safety
/// The type is `repr(C)`, begins with a `u32`, and every value of its bytes is a value of it.
pub(super) unsafe trait Sized: Copy {
    /// All fields 0.
    const ZERO: Self;
    /// Its size here, today.
    const SIZE: u32;
    /// Its size in the first release: what has less was never a struct of the contract.
    const FIRST: u32;
}

macro_rules! sized {
    ($($name:ident: $first:literal;)*) => {$(
        // SAFETY: the mirror's structs are `repr(C)`, begin with `size`, and hold integers, pointers and
        // optional function pointers only.
        unsafe impl Sized for abi::$name {
            const ZERO: Self = Self::ZERO;
            const SIZE: u32 = Self::SIZE;
            const FIRST: u32 = $first;
        }
    )*

    #[cfg(test)]
    const FIRST_AND_NOW: &[(u32, u32)] = &[$(($first, abi::$name::SIZE)),*];
    };
}

sized! {
    rcl_descriptor: 72;
    rcl_plugin: 56;
    rcl_device: 80;
    rcl_frame: 56;
    rcl_meta: 40;
    rcl_struct: 16;
    rcl_fp_meta: 48;
}

/// Copies a struct of the plugin's, as much of it as both sides know.
///
/// # Errors
/// It is smaller than it ever was.
///
/// # Safety
/// `from` points to a struct that says its own size and does not change during the call.
pub(super) unsafe fn read<T: Sized>(from: *const T) -> Result<T, TooSmall> {
    // SAFETY: the struct begins with its size; the plugin need not have aligned it.
    let size = unsafe { from.cast::<u32>().read_unaligned() };
    if size < T::FIRST {
        return Err(TooSmall);
    }
    let mut own = T::ZERO;
    // SAFETY: both sides hold at least this many bytes, and `own` is ours alone.
    unsafe { copy(from.cast(), (&raw mut own).cast(), size.min(T::SIZE)) };
    Ok(own)
}

/// Copies a struct back to where [`read`] found it; its size stays as the plugin set it.
///
/// # Safety
/// As [`read`], and the plugin lets the host write there. `own` came from [`read`] of the same place.
pub(super) unsafe fn write_back<T: Sized>(own: &T, to: *mut T) {
    // SAFETY: as in `read`.
    let size = unsafe { to.cast::<u32>().read_unaligned() };
    // SAFETY: both sides hold at least this many bytes.
    unsafe { copy((&raw const *own).cast(), to.cast(), size.min(T::SIZE)) };
}

/// # Safety
/// `len` bytes can be read at `from` and written at `to`, and the two do not overlap.
unsafe fn copy(from: *const u8, to: *mut u8, len: u32) {
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, to, len) };
}

/// A struct that says it is smaller than in the first release.
#[derive(Debug)]
pub(super) struct TooSmall;

/// Copies a string of the plugin's, at most `max` bytes of it, with what is not UTF-8 replaced. None for NULL.
///
/// # Safety
/// `from` is NULL or points to bytes that end with a 0 or go on for `max`.
pub(super) unsafe fn text(from: *const c_char, max: usize) -> Option<String> {
    if from.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; stops at the 0 or at `max`.
    let len = unsafe { libc::strnlen(from, max) };
    // SAFETY: `len` bytes were just seen to be there.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// The text in a `char[N]` that the plugin filled.
pub(super) fn field<const N: usize>(chars: &[c_char; N]) -> String {
    let bytes: Vec<u8> = chars
        .iter()
        .flat_map(|character| character.to_ne_bytes())
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_have_not_become_smaller_than_in_the_first_release() {
        for (first, now) in FIRST_AND_NOW {
            assert!(first <= now, "{first} bytes became {now}");
        }
    }

    #[test]
    fn of_a_larger_struct_the_known_part_is_read_and_a_smaller_one_is_refused() {
        #[repr(C)]
        struct Newer {
            known: abi::rcl_frame,
            added: u64,
        }
        let mut newer = Newer {
            known: abi::rcl_frame {
                size: abi::rcl_frame::SIZE + 8,
                width: 5,
                ..abi::rcl_frame::ZERO
            },
            added: u64::MAX,
        };
        // SAFETY: `newer` is alive and says its own size.
        let read_back = unsafe { read(&raw const newer.known) }.unwrap();
        assert_eq!(read_back.width, 5);
        newer.known.size = 55;
        // SAFETY: as above; it says less than it has.
        assert!(unsafe { read(&raw const newer.known) }.is_err());
        assert_eq!(newer.added, u64::MAX);
    }
}
