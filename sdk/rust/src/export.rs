//! The one exported symbol.

/// Exports a plugin: writes `recueil_plugin_v1`, and the static `RECUEIL_PLUGIN` for the plugin's own tests.
/// Used once in a `cdylib`; the version is the crate's own.
///
/// `one_at_a_time: true` may follow `modalities` if the plugin's devices cannot capture at the same time.
#[macro_export]
macro_rules! export_plugin {
    (
        plugin: $plugin:ty,
        id: $id:literal,
        name: $name:literal,
        vendor: $vendor:literal,
        licence: $licence:literal,
        modalities: $modalities:expr
        $(, one_at_a_time: $one_at_a_time:literal)? $(,)?
    ) => {
        /// What this plugin is.
        pub static RECUEIL_PLUGIN: $crate::Descriptor = $crate::Descriptor::new::<$plugin>($crate::Identity {
            id: $crate::__c_str(concat!($id, "\0")),
            name: $crate::__c_str(concat!($name, "\0")),
            vendor: $crate::__c_str(concat!($vendor, "\0")),
            version: $crate::__c_str(concat!(env!("CARGO_PKG_VERSION"), "\0")),
            licence: $crate::__c_str(concat!($licence, "\0")),
            modalities: $modalities,
            one_at_a_time: false $(|| $one_at_a_time)?,
        });

        /// The entry of the plugin contract, major 1.
        #[unsafe(no_mangle)]
        pub extern "C" fn recueil_plugin_v1(_host_abi_minor: u32) -> *const $crate::abi::rcl_descriptor {
            RECUEIL_PLUGIN.as_ptr()
        }
    };
}
