//! Structs that say their own size (rule R1), lists of them, and fixed texts.
#![expect(unsafe_code, reason = "reads and writes what C pointers point to")]

use std::ffi::{CStr, c_char};

use recueil_abi as abi;

/// A struct whose first field is `size`.
///
/// # Safety
/// `repr(C)`, begins with a `u32`, has no padding, and all its bytes may be 0.
pub(crate) unsafe trait SaysItsSize: Copy {
    const ZERO: Self;
    const SIZE: u32;
}

macro_rules! says_its_size {
    ($($name:ident),*) => {
        $(
            // SAFETY: the layout test of `recueil-abi` shows the form; integers, pointers and optional
            // functions may be 0.
            unsafe impl SaysItsSize for abi::$name {
                const ZERO: Self = abi::$name::ZERO;
                const SIZE: u32 = abi::$name::SIZE;
            }
        )*
    };
}
says_its_size!(
    rcl_caps,
    rcl_device,
    rcl_devinfo,
    rcl_devref,
    rcl_feedback,
    rcl_fp_meta,
    rcl_fp_params,
    rcl_frame,
    rcl_host,
    rcl_meta,
    rcl_params,
    rcl_plugin,
    rcl_scan_params,
    rcl_struct
);

/// What the other side filled, as a struct of this release; what it has not is 0. None for a null pointer or a
/// size that cannot be.
///
/// # Safety
/// `from` is null, or points to as many readable bytes as its first field says, aligned for `T`.
pub(crate) unsafe fn read<T: SaysItsSize>(from: *const T) -> Option<T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: every sized struct begins with its size.
    let size = unsafe { from.cast::<u32>().read() };
    let len = usize::try_from(size.min(T::SIZE)).ok().filter(|len| *len >= 4)?;
    let mut into = T::ZERO;
    // SAFETY: both sides have at least `len` bytes, and any of them may stand in a `T`.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut into).cast::<u8>(), len) };
    Some(into)
}

/// Fills what the other side offered, as far as it knows the struct, and says how far that is.
///
/// # Safety
/// `into` is null, or points to as many writable bytes as its first field says, aligned for `T`.
pub(crate) unsafe fn write<T: SaysItsSize>(into: *mut T, from: &T) -> bool {
    if into.is_null() {
        return false;
    }
    // SAFETY: every sized struct begins with its size.
    let offered = unsafe { into.cast::<u32>().read() };
    let size = offered.min(T::SIZE);
    let Some(len) = usize::try_from(size).ok().filter(|len| *len >= 4) else {
        return false;
    };
    // SAFETY: both sides have at least `len` bytes.
    unsafe { std::ptr::copy_nonoverlapping((&raw const *from).cast::<u8>(), into.cast::<u8>(), len) };
    // SAFETY: as above; the size is the first field.
    unsafe { into.cast::<u32>().write(size) };
    true
}

/// The first part of this type in a list of parts, read as a struct of this release. Lists of more than 16 parts
/// are not followed to their end.
///
/// # Safety
/// `first` is null or begins a list as `rcl_struct` describes; a part that says it is of `part_type` is a `T`.
pub(crate) unsafe fn find<T: SaysItsSize>(first: *const abi::rcl_struct, part_type: u32) -> Option<T> {
    let mut next = first;
    for _part in 0..16 {
        // SAFETY: the caller's list.
        let head = unsafe { read(next) }?;
        if head.type_ == part_type {
            // SAFETY: a part of this type is a `T`.
            return unsafe { read(next.cast::<T>()) };
        }
        next = head.next;
    }
    None
}

/// A text of the other side; empty if it is null or not UTF-8.
///
/// # Safety
/// `text` is null or ends with a 0, and stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller says that it ends.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or("")
}

/// Fills a fixed field with a text, cut at a character's border, always ended by a 0.
pub(crate) fn fill_text<const N: usize>(field: &mut [c_char; N], text: &str) {
    let end = text.floor_char_boundary(N - 1);
    let bytes = text.bytes().take(end).take_while(|byte| *byte != 0);
    *field = [0; N];
    for (place, byte) in field.iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
}

/// The text of a fixed field, up to its 0; what is not UTF-8 is replaced.
pub(crate) fn field_text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_side_has_not_reads_as_zero_and_is_not_written() {
        let older = abi::rcl_caps {
            size: 16,
            max_width: 5,
            max_height: 6,
            ppi_milli: 99,
            ..abi::rcl_caps::ZERO
        };
        // SAFETY: more bytes than it says.
        let read_back = unsafe { read(&raw const older) }.unwrap();
        assert_eq!(
            (read_back.max_width, read_back.max_height, read_back.ppi_milli),
            (5, 6, 0)
        );

        let mut offered = older;
        let full = abi::rcl_caps {
            max_width: 7,
            ppi_milli: 8,
            ..abi::rcl_caps::ZERO
        };
        // SAFETY: more bytes than it says.
        assert!(unsafe { write(&raw mut offered, &full) });
        assert_eq!((offered.size, offered.max_width, offered.ppi_milli), (16, 7, 99));
    }

    #[test]
    fn a_newer_side_s_additions_are_passed_over() {
        #[repr(C)]
        struct Newer(abi::rcl_feedback, u32);
        let newer = Newer(
            abi::rcl_feedback {
                size: 24,
                led: 3,
                ..abi::rcl_feedback::ZERO
            },
            7,
        );
        // SAFETY: as many bytes as it says.
        let read_back = unsafe { read((&raw const newer).cast::<abi::rcl_feedback>()) }.unwrap();
        assert_eq!((read_back.size, read_back.led), (24, 3));
        assert_eq!(newer.1, 7);
    }

    #[test]
    fn a_list_that_never_ends_is_left() {
        let mut part = abi::rcl_struct {
            size: abi::rcl_struct::SIZE,
            type_: 1,
            next: std::ptr::null(),
        };
        part.next = &raw const part;
        // SAFETY: a list that runs in a circle is still one.
        assert!(unsafe { find::<abi::rcl_fp_params>(&raw const part, 2) }.is_none());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut field = [1; 4];
        fill_text(&mut field, "aéé");
        assert_eq!(field_text(&field), "aé");
        fill_text(&mut field, "éé");
        assert_eq!(field_text(&field), "é");
    }
}
