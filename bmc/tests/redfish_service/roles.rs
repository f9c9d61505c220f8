//! Roles: the predefined ones, and those that somebody makes.

use serde_json::{Value, json};

use crate::client::{ACCOUNTS, Blade, PASSWORD};

const ROLES: &str = "/redfish/v1/AccountService/Roles";
const CHASSIS: &str = "/redfish/v1/Chassis/blade";

fn role(id: &str, privileges: &[&str]) -> Value {
    json!({"RoleId": id, "AssignedPrivileges": privileges})
}

#[tokio::test]
async fn predefined_roles_are_dmtfs_and_stay() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (id, privileges) in [
        (
            "Administrator",
            &[
                "Login",
                "ConfigureManager",
                "ConfigureUsers",
                "ConfigureComponents",
                "ConfigureSelf",
            ][..],
        ),
        ("Operator", &["Login", "ConfigureComponents", "ConfigureSelf"]),
        ("ReadOnly", &["Login", "ConfigureSelf"]),
    ] {
        let uri = format!("{ROLES}/{id}");
        let before = admin.get(&uri).await;
        assert_eq!(before.body["IsPredefined"], true);
        assert_eq!(before.body["AssignedPrivileges"], json!(privileges));
        let body = json!({"AssignedPrivileges": ["Login"]});
        let refused = admin.patch(&uri, &body).await;
        assert_eq!(refused.messages(), ["PropertyNotWritable"], "{id}");
        let refused = admin.delete(&uri).await;
        assert_eq!(refused.status, 403, "{id}");
        assert_eq!(refused.messages(), ["ResourceCannotBeDeleted"], "{id}");
        assert_eq!(admin.get(&uri).await.body, before.body);
        for same in [id.to_owned(), id.to_lowercase()] {
            let refused = admin.post(ROLES, &role(&same, &["Login"])).await;
            assert_eq!(refused.messages(), ["ResourceAlreadyExists"]);
        }
    }
}

#[tokio::test]
async fn a_role_of_ones_own_counts_everywhere_and_survives() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let technician = role("Technician", &["Login", "ConfigureComponents"]);
    let made = admin.post(ROLES, &technician).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), format!("{ROLES}/Technician"));
    assert_eq!(made.body["IsPredefined"], false);
    let tim = blade.account("tim", "Technician").await;
    let tag = json!({"AssetTag": "t-1"});
    assert_eq!(tim.patch(CHASSIS, &tag).await.status, 200);
    // Without ConfigureSelf not even the own password can be changed.
    let own = format!("{ACCOUNTS}/tim");
    let password = json!({"Password": "another password"});
    assert_eq!(tim.patch(&own, &password).await.status, 403);

    let blade = blade.restarted().await;
    let (admin, tim) = (blade.admin(), blade.user("tim", PASSWORD));
    assert_eq!(admin.get(&own).await.body["RoleId"], "Technician");
    assert_eq!(tim.patch(CHASSIS, &tag).await.status, 200);
    let uri = format!("{ROLES}/Technician");
    let less = json!({"AssignedPrivileges": ["Login", "ConfigureSelf"]});
    let changed = admin.patch(&uri, &less).await;
    assert_eq!(changed.body["AssignedPrivileges"], less["AssignedPrivileges"]);
    assert_eq!(tim.patch(CHASSIS, &tag).await.status, 403);
    assert_eq!(tim.patch(&own, &password).await.status, 200);

    let used = admin.delete(&uri).await;
    assert_eq!(used.status, 409);
    assert_eq!(used.messages(), ["ResourceInUse"]);
    let reader = json!({"RoleId": "ReadOnly"});
    assert_eq!(admin.patch(&own, &reader).await.status, 200);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(admin.get(&uri).await.status, 404);
    let gone = json!({"RoleId": "Technician"});
    let refused = admin.patch(&own, &gone).await;
    assert_eq!(refused.messages(), ["PropertyValueNotInList"]);
}

#[tokio::test]
async fn what_cannot_be_a_role_is_refused() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    for (body, message) in [
        (role("../x", &["Login"]), "PropertyValueFormatError"),
        (role("", &["Login"]), "PropertyValueFormatError"),
        (role("a", &["NoAuth"]), "PropertyValueNotInList"),
        (role("a", &["Everything"]), "PropertyValueNotInList"),
        (json!({"AssignedPrivileges": ["Login"]}), "PropertyMissing"),
        (
            json!({"RoleId": "a", "OemPrivileges": ["Fly"]}),
            "PropertyValueNotInList",
        ),
        (json!({"RoleId": "a", "IsPredefined": true}), "PropertyNotWritable"),
    ] {
        let refused = admin.post(ROLES, &body).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.body);
        assert_eq!(refused.messages(), [message], "{body}");
    }
    for number in 0..32 {
        let body = role(&format!("role-{number}"), &["Login"]);
        assert_eq!(admin.post(ROLES, &body).await.status, 201);
    }
    let more = admin.post(ROLES, &role("one-more", &["Login"])).await;
    assert_eq!(more.messages(), ["CreateLimitReachedForResource"]);
}

#[tokio::test]
async fn nobody_gives_privileges_that_he_does_not_have() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let manager = role("Keeper", &["Login", "ConfigureManager"]);
    assert_eq!(admin.post(ROLES, &manager).await.status, 201);
    let keeper = blade.account("kim", "Keeper").await;
    let users = role("Users", &["Login", "ConfigureUsers"]);
    let refused = keeper.post(ROLES, &users).await;
    assert_eq!(refused.messages(), ["InsufficientPrivilege"]);
    let less = role("Less", &["Login"]);
    assert_eq!(keeper.post(ROLES, &less).await.status, 201);
    let more = json!({"AssignedPrivileges": ["Login", "ConfigureUsers"]});
    for own in ["Keeper", "Less"] {
        let refused = keeper.patch(&format!("{ROLES}/{own}"), &more).await;
        assert_eq!(refused.messages(), ["InsufficientPrivilege"]);
    }
    let olga = blade.account("olga", "Operator").await;
    assert_eq!(olga.post(ROLES, &less).await.status, 403);
}

#[tokio::test]
async fn the_privilege_map_says_what_is_needed() {
    let blade = Blade::simulated().await;
    let reader = blade.account("rolf", "ReadOnly").await;
    let service = reader.get("/redfish/v1/AccountService").await.body;
    let uri = service["PrivilegeMap"]["@odata.id"].as_str().unwrap();
    let map = reader.get(uri).await;
    assert_eq!(map.status, 200);
    let problems = onprem_redfish::check(&map.body);
    assert!(problems.is_empty(), "{problems:?}");
    let mappings = map.body["Mappings"].as_array().unwrap();
    let of = |entity: &str| {
        mappings.iter().find(|it| it["Entity"] == entity).unwrap()
    };
    let one = |privilege: &str| json!({"Privilege": [privilege]});
    let account = of("ManagerAccount");
    assert_eq!(account["OperationMap"]["PATCH"][0], one("ConfigureUsers"));
    let password = &account["PropertyOverrides"][0];
    assert_eq!(password["Targets"], json!(["Password"]));
    let patch = json!([one("ConfigureUsers"), one("ConfigureSelf")]);
    assert_eq!(password["OperationMap"]["PATCH"], patch);
    assert!(password["OperationMap"].get("GET").is_none());
    let interface = &of("EthernetInterface")["SubordinateOverrides"][0];
    assert_eq!(interface["Targets"], json!(["Manager"]));
    let root = &of("ServiceRoot")["OperationMap"]["GET"];
    assert_eq!(*root, json!([one("Login"), one("NoAuth")]));
    // What is not served is not in it.
    assert!(mappings.iter().all(|it| it["Entity"] != "Cable"));
}
