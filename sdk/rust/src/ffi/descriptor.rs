//! What the entry symbol gives.
#![expect(unsafe_code, reason = "static data with pointers in it is shared with C")]

use std::ffi::CStr;

use recueil_abi as abi;

use super::plugin;
use crate::{Modalities, Plugin};

/// What a plugin is, before anything of it runs. Made by [`crate::export_plugin!`].
#[derive(Debug)]
#[repr(transparent)]
pub struct Descriptor(abi::rcl_descriptor);

// SAFETY: it points to static texts only and never changes.
unsafe impl Sync for Descriptor {}

/// The texts and numbers of a [`Descriptor`].
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Reverse DNS, as in the manifest.
    pub id: &'static CStr,
    /// Shown to people.
    pub name: &'static CStr,
    /// Who makes it.
    pub vendor: &'static CStr,
    /// Its version.
    pub version: &'static CStr,
    /// Its licence.
    pub licence: &'static CStr,
    /// What its devices capture.
    pub modalities: Modalities,
    /// Its devices cannot capture at the same time.
    pub one_at_a_time: bool,
}

impl Descriptor {
    /// The descriptor of plugin `P`.
    pub const fn new<P: Plugin>(identity: Identity) -> Self {
        Self(abi::rcl_descriptor {
            size: abi::rcl_descriptor::SIZE,
            abi_major: abi::RCL_ABI_MAJOR,
            abi_minor: abi::RCL_ABI_MINOR,
            host_minor_min: 0,
            modalities: identity.modalities.0,
            flags: if identity.one_at_a_time {
                abi::RCL_PLUGIN_ONE_AT_A_TIME
            } else {
                0
            },
            reserved: 0,
            id: identity.id.as_ptr(),
            name: identity.name.as_ptr(),
            vendor: identity.vendor.as_ptr(),
            version: identity.version.as_ptr(),
            licence: identity.licence.as_ptr(),
            create: Some(plugin::create::<P>),
        })
    }

    /// What the entry symbol returns.
    pub const fn as_ptr(&'static self) -> *const abi::rcl_descriptor {
        &raw const self.0
    }

    /// The struct of the contract.
    pub const fn as_abi(&'static self) -> &'static abi::rcl_descriptor {
        &self.0
    }
}

/// A text literal that ends with a 0, for [`crate::export_plugin!`]; a 0 inside it stops the build.
#[doc(hidden)]
#[expect(clippy::panic, reason = "evaluated while compiling; it is the compile error")]
pub const fn c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_error) => panic!("a text of export_plugin! has a zero byte in it"),
    }
}
