//! Macros that name each number and field once: for the mirror, and for the test against the header.

/// Numbers, and in tests the list of them.
macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub const $name: $type = $value;)*

        #[cfg(test)]
        const CONSTANTS: &[(&str, i64)] = &[$((stringify!($name), $value)),*];
    };
}

/// Strings, and in tests the list of them.
macro_rules! names {
    ($($name:ident = $value:expr;)*) => {
        $(pub const $name: &core::ffi::CStr = $value;)*

        #[cfg(test)]
        const NAMES: &[(&str, &core::ffi::CStr)] = &[$((stringify!($name), $value)),*];
    };
}

/// Structs with their all-zero value, and in tests their layout. `field as "type"` gives the C name where Rust
/// has taken it.
macro_rules! structs {
    ($(struct $name:ident { $($field:ident $(as $c_name:literal)?: $type:ty,)* })*) => {
        $(
            #[repr(C)]
            #[derive(Debug, Clone, Copy)]
            pub struct $name { $(pub $field: $type,)* }

            impl $name {
                /// All fields 0, null or `None`; fill `size` before it crosses.
                pub const ZERO: Self = Self { $($field: <$type as $crate::declare::Zero>::ZERO,)* };
                /// What `size` must say on a side of this release.
                pub const SIZE: u32 = $crate::declare::size_u32(core::mem::size_of::<Self>());
            }

            impl $crate::declare::Zero for $name {
                const ZERO: Self = Self::ZERO;
            }
        )*

        #[cfg(test)]
        const STRUCTS: &[tests::StructLayout] = &[$(tests::StructLayout {
            name: stringify!($name),
            size: core::mem::size_of::<$name>(),
            fields: &[$(tests::FieldLayout {
                name: tests::c_name(stringify!($field), &[$($c_name)?]),
                offset: core::mem::offset_of!($name, $field),
                size: core::mem::size_of::<$type>(),
            }),*],
        }),*];
    };
}

/// The value of bytes that are all 0.
pub(crate) trait Zero {
    const ZERO: Self;
}

macro_rules! zero {
    ($($type:ty),*) => { $(impl Zero for $type { const ZERO: Self = 0; })* };
}
zero!(u8, u16, u32, u64, i8, i32, i64);

impl<T> Zero for *const T {
    const ZERO: Self = core::ptr::null();
}

impl<T> Zero for *mut T {
    const ZERO: Self = core::ptr::null_mut();
}

impl<T> Zero for Option<T> {
    const ZERO: Self = None;
}

impl<T: Zero, const N: usize> Zero for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

/// The size of a struct as the ABI writes it.
#[expect(
    clippy::as_conversions,
    reason = "`try_from` is not const; no struct comes near 4 GiB"
)]
#[expect(clippy::cast_possible_truncation, reason = "no struct comes near 4 GiB")]
pub(crate) const fn size_u32(size: usize) -> u32 {
    size as u32
}
