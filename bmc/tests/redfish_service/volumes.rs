//! Volumes: made of simulated drives by simulated controllers, and of a
//! host's by its kernel, where that is allowed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Blade, Client};

const STORAGE: &str = "/redfish/v1/Systems/node/Storage";
const DRIVE: &str = "/redfish/v1/Chassis/blade/Drives";
const GIB: u64 = 1 << 30;

/// Three disks on a controller.
const DISKS: &str = r#"
[[system.storage]]
id = "sata"
name = "SATA"
volumes = ["RAID0", "RAID1", "RAID5"]
[[system.storage.drive]]
id = "sda"
capacity_bytes = 8_589_934_592
board = { model = "A" }
[[system.storage.drive]]
id = "sdb"
capacity_bytes = 4_294_967_296
board = { model = "B" }
[[system.storage.drive]]
id = "sdc"
capacity_bytes = 4_294_967_296
board = { model = "C" }
"#;

async fn disks() -> Blade {
    Blade::with_board(|board| board + DISKS).await
}

fn wish(raid: &str, drives: &[&str]) -> Value {
    let link = |id: &&str| json!({"@odata.id": format!("{DRIVE}/{id}")});
    let drives: Vec<_> = drives.iter().map(link).collect();
    json!({"RAIDType": raid, "Links": {"Drives": drives}})
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

async fn members(client: &Client, uri: &str) -> Vec<Value> {
    let reply = client.get(uri).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["Members"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_volume_is_made_of_drives_and_removed() {
    let blade = disks().await;
    let admin = blade.admin();
    let volumes = format!("{STORAGE}/sata/Volumes");
    let before = admin.get(&volumes).await;
    assert_eq!(before.header("allow"), "GET, HEAD, POST");
    let times = &before.body["@Redfish.OperationApplyTimeSupport"];
    assert_eq!(times["SupportedValues"], json!(["Immediate"]));
    let controller = format!("{STORAGE}/sata/Controllers/sata");
    assert_eq!(
        admin.get(&controller).await.body["SupportedRAIDTypes"],
        json!(["RAID0", "RAID1", "RAID5"])
    );

    let body = with(wish("RAID1", &["sda", "sdb"]), "Name", "data");
    let body = with(body, "@Redfish.OperationApplyTime", "Immediate");
    let body = with(body, "CapacityBytes", 3 * GIB);
    let made = admin.post(&volumes, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let uri = made.header("location").to_owned();
    let volume = admin.get(&uri).await;
    assert_eq!(volume.header("allow"), "GET, HEAD, DELETE");
    let volume = volume.body;
    assert_eq!(volume["Name"], "data");
    assert_eq!(volume["RAIDType"], "RAID1");
    assert_eq!(volume["CapacityBytes"], 3 * GIB);
    assert_eq!(volume["Links"]["Drives"], body["Links"]["Drives"]);
    assert_eq!(volume["Identifiers"][0]["DurableNameFormat"], "UUID");
    assert_eq!(members(&admin, &volumes).await.len(), 1);
    let drive = format!("{DRIVE}/sda");
    let on = admin.get(&drive).await.body["Links"]["Volumes"].clone();
    assert_eq!(on, json!([{"@odata.id": uri}]));

    let twice = admin.post(&volumes, &wish("RAID0", &["sdb", "sdc"])).await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    assert_eq!(twice.messages(), ["PropertyValueResourceConflict"]);
    let told = twice.body.to_string();
    assert!(told.contains(&uri) && told.contains("Drives/sdb"), "{told}");

    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(admin.get(&uri).await.status, 404);
    let on = admin.get(&drive).await.body["Links"]["Volumes"].clone();
    assert_eq!(on, json!([]));
    let all = wish("RAID5", &["sda", "sdb", "sdc"]);
    let again = admin.post(&volumes, &all).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.body["CapacityBytes"], 8 * GIB);
}

#[tokio::test]
async fn what_makes_no_volume_is_named_and_changes_nothing() {
    let blade = disks().await;
    let admin = blade.admin();
    let volumes = format!("{STORAGE}/sata/Volumes");
    let good = || wish("RAID1", &["sda", "sdb"]);
    for (body, message, named) in [
        (wish("RAID6", &["sda"]), "PropertyValueNotInList", "RAID6"),
        (wish("RAID9", &["sda"]), "PropertyValueNotInList", "RAID9"),
        (wish("RAID1", &["sda", "sdx"]), "PropertyValueIncorrect", "sdx"),
        (wish("RAID1", &["sda", "mmcblk0"]), "PropertyValueIncorrect", "mmc"),
        (wish("RAID1", &["sda", "sda"]), "PropertyValueIncorrect", "sda"),
        (wish("RAID5", &["sda", "sdb"]), "PropertyValueConflict", "RAIDType"),
        (
            with(good(), "CapacityBytes", 5 * GIB),
            "PropertyValueOutOfRange",
            "5368709120",
        ),
        (with(good(), "CapacityBytes", -1), "PropertyValueOutOfRange", "-1"),
        (with(good(), "Name", "a/b"), "PropertyValueFormatError", "a/b"),
        (with(good(), "Encrypted", true), "PropertyValueNotInList", "true"),
        (
            with(good(), "@Redfish.OperationApplyTime", "OnReset"),
            "PropertyValueNotInList",
            "OnReset",
        ),
        (json!({"RAIDType": "RAID1"}), "PropertyMissing", "Drives"),
        (with(good(), "StripSizeBytes", 4096), "PropertyNotWritable", "Strip"),
    ] {
        let refused = admin.post(&volumes, &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        assert_eq!(refused.messages(), [message], "{body}");
        assert!(refused.body.to_string().contains(named), "{}", refused.body);
    }
    assert!(members(&admin, &volumes).await.is_empty());
    let reader = blade.account("rolf", "ReadOnly").await;
    assert_eq!(reader.post(&volumes, &good()).await.status, 403);
    let nowhere = admin.post(&format!("{STORAGE}/x/Volumes"), &good()).await;
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn two_who_want_the_same_drives_do_not_both_get_them() {
    let blade = disks().await;
    let (one, two) = (blade.admin(), blade.admin());
    let volumes = format!("{STORAGE}/sata/Volumes");
    let body = wish("RAID0", &["sda", "sdb"]);
    let (one, two) =
        tokio::join!(one.post(&volumes, &body), two.post(&volumes, &body));
    let mut told = [one.status.as_u16(), two.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [201, 409]);
}

#[tokio::test]
async fn a_volume_is_there_after_a_restart() {
    let blade = Blade::simulated().await;
    let volumes = format!("{STORAGE}/mmc/Volumes");
    let body = wish("None", &["mmcblk0"]);
    let made = blade.admin().post(&volumes, &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let uri = made.header("location").to_owned();
    let before = blade.admin().get(&uri).await.body;
    let blade = blade.restarted().await;
    assert_eq!(blade.admin().get(&uri).await.body, before);
    assert_eq!(blade.admin().delete(&uri).await.status, 204);
    let blade = blade.restarted().await;
    assert!(members(&blade.admin(), &volumes).await.is_empty());
}

/// Makes and ends an array as far as /sys shows it.
const MDADM: &str = r#"#!/bin/sh
root=$(cd "$(dirname "$0")/.." && pwd)
case $1 in
--create)
    md=$root/sys/block/$(basename "$2")
    mkdir -p "$md/md/dev-sda" "$md/md/dev-sdb"
    echo raid1 > "$md/md/level"; echo clean > "$md/md/array_state"
    echo 2000000 > "$md/size";;
--stop) rm -r "$root/sys/block/$(basename "$2")";;
esac
"#;

/// A machine with two unused disks, and the program that makes arrays.
fn machine() -> TempDir {
    let folder = TempDir::new().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("sys/block/sda/size", "4000000\n");
    put("sys/block/sdb/size", "4000000\n");
    put("sbin/mdadm", MDADM);
    let program = folder.path().join("sbin/mdadm");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn array(root: &Path) {
    let program = root.join("sbin/mdadm");
    let made = std::process::Command::new(program)
        .args(["--create", "/dev/md0"])
        .status();
    assert!(made.unwrap().success());
}

const HOST: &str = "/redfish/v1/Systems/host/Storage/block/Volumes";

fn mirror() -> Value {
    let at = |id| json!({"@odata.id": format!("/redfish/v1/Chassis/host/Drives/{id}")});
    json!({"RAIDType": "RAID1", "Links": {"Drives": [at("sda"), at("sdb")]}})
}

#[tokio::test]
async fn the_arrays_of_a_host_are_only_shown_unless_it_is_allowed() {
    let root = machine();
    array(root.path());
    let blade = Blade::of_tree(root.path()).await;
    let admin = blade.admin();
    let volumes = admin.get(HOST).await;
    assert_eq!(volumes.header("allow"), "GET, HEAD");
    let support = volumes.body.get("@Redfish.OperationApplyTimeSupport");
    assert_eq!(support, None);
    let uri = format!("{HOST}/md0");
    let volume = admin.get(&uri).await;
    assert_eq!(volume.header("allow"), "GET, HEAD");
    assert_eq!(volume.body["RAIDType"], "RAID1");
    assert_eq!(volume.body["CapacityBytes"], 1_024_000_000);
    let head = admin.send(Method::HEAD, &uri, "").await;
    assert_eq!(head.header("allow"), "GET, HEAD");
    for refused in [
        admin.post(HOST, &mirror()).await,
        admin.post(&format!("{HOST}/Members"), &mirror()).await,
        admin.delete(&uri).await,
    ] {
        assert_eq!(refused.status, 405, "{}", refused.body);
        assert_eq!(refused.header("allow"), "GET, HEAD");
        let told = refused.body.to_string();
        assert!(told.contains("allow_volumes = true"), "{told}");
    }
    assert_eq!(admin.get(&uri).await.status, 200);
}

#[tokio::test]
async fn a_host_makes_an_array_of_unused_drives_where_it_is_allowed() {
    let root = machine();
    let blade = Blade::making_volumes(root.path()).await;
    let admin = blade.admin();
    assert_eq!(admin.get(HOST).await.header("allow"), "GET, HEAD, POST");
    let made = admin.post(HOST, &with(mirror(), "Name", "data")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let uri = format!("{HOST}/md0");
    assert_eq!(made.header("location"), uri);
    // The kernel calls it otherwise, and that is said.
    let told = made.body["@Message.ExtendedInfo"].to_string();
    assert!(told.contains("PropertyValueModified"), "{}", made.body);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert!(members(&admin, HOST).await.is_empty());

    fs::create_dir_all(root.path().join("sys/block/sdb/sdb1")).unwrap();
    fs::write(root.path().join("sys/block/sdb/sdb1/partition"), "1").unwrap();
    let refused = admin.post(HOST, &mirror()).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let told = refused.body.to_string();
    assert!(told.contains("it has a partition `sdb1`"), "{told}");
    assert!(!root.path().join("sys/block/md0").exists());
}
