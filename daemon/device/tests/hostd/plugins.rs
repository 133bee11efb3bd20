//! Which plugins hostd takes, and what it says of the others.

use recueil_wire::devices::{DeviceState, FailureCode};

use crate::station::{Folders, Station, patient};

/// Every plugin, and why it is refused, if it is.
async fn listed(station: &Station) -> Vec<(String, Option<String>)> {
    let (_, plugins) = station.connect().await.list().await;
    plugins
        .into_iter()
        .map(|plugin| (plugin.id, plugin.refused))
        .collect()
}

#[tokio::test]
async fn a_plugin_changed_after_its_admission_is_not_loaded_again() {
    let station = Station::start("", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    let library = station.folders.path("plugins/fr.recueil.fake/fake.so");
    std::fs::write(&library, "something else").unwrap();
    line.tell("exit 0").await;
    let failure = recueild.state(DeviceState::Faulted).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::PluginRefused);
    assert!(failure.text.contains("fake.so"), "{}", failure.text);
    drop(device);
    station.stop().await;
}

#[tokio::test]
async fn a_refused_plugin_is_listed_with_the_reason_and_drives_nothing() {
    let folders = Folders::new();
    folders.install("fr.recueil.open", "", "camera");
    crate::station::chmod(&folders.path("plugins/fr.recueil.open/fake.so"), 0o666);
    let station = Station::start_in(folders, "", patient());
    let mut recueild = station.connect().await;
    let (_, plugins) = recueild.list().await;
    let refused: Vec<_> = plugins
        .iter()
        .map(|plugin| (plugin.id.as_str(), plugin.refused.is_some()))
        .collect();
    assert_eq!(refused, [("fr.recueil.fake", false), ("fr.recueil.open", true)]);
    let why = plugins[1].refused.as_ref().unwrap();
    assert!(why.contains("fake.so") && why.contains("chmod go-w"), "{why}");
    station.stop().await;
}

#[tokio::test]
async fn of_two_plugins_with_one_id_the_first_is_taken() {
    let folders = Folders::new();
    let copy = folders.path("plugins/zz");
    std::fs::rename(folders.path("plugins/fr.recueil.fake"), &copy).unwrap();
    folders.install("fr.recueil.fake", "", "fp4");
    let station = Station::start_in(folders, "", patient());
    let plugins = listed(&station).await;
    assert_eq!(plugins[0], ("fr.recueil.fake".to_owned(), None));
    let why = plugins[1].1.as_ref().unwrap();
    assert!(
        why.contains("fr.recueil.fake already") && why.contains("remove one"),
        "{why}"
    );
    station.stop().await;
}

#[tokio::test]
async fn a_setting_that_the_plugin_does_not_know_refuses_it() {
    let setting = "[hostd.config.\"fr.recueil.fake\"]\ngian = \"3\"\n";
    let station = Station::start_in(Folders::new(), setting, patient());
    let plugins = listed(&station).await;
    let why = plugins[0].1.as_ref().unwrap();
    assert!(why.contains("gian") && why.contains("recueil.toml"), "{why}");
    station.stop().await;
}
