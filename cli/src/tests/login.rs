//! Who one is, and where that is kept.

use serde_json::json;

use super::{fake::FakeFleet, onprem};

#[tokio::test]
async fn login_keeps_the_token_for_that_fleet_alone() {
    let fleet = FakeFleet::start().await;
    let other = FakeFleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let password = folder.path().join("password");
    std::fs::write(&password, "secret word\n").unwrap();
    let session = json!({
        "token": "ops_1", "account": "admin", "role": "admin",
        "expiresAt": "2026-11-23T10:00:00Z",
    });
    fleet.on("POST /v1/login", 200, &session);
    let config = file.to_str().unwrap();
    let url = fleet.url.as_str();
    let done = onprem(&[
        "login",
        "admin",
        "--url",
        url,
        "--config",
        config,
        "--password-file",
        password.to_str().unwrap(),
    ])
    .await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(fleet.seen()[0].json()["password"], "secret word");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    for fleet in [&fleet, &other] {
        fleet.on("GET /v1/devices", 200, &json!({"items": []}));
    }
    onprem(&["get", "devices", "--config", config]).await;
    let headers = &fleet.seen()[0].headers;
    assert_eq!(headers["authorization"], "Bearer ops_1");
    let words = ["get", "devices", "--config", config, "--url", &other.url];
    onprem(&words).await;
    assert!(!other.seen()[0].headers.contains_key("authorization"));
    let shown = onprem(&["context", "show", "--config", config]).await.out;
    assert!(shown.contains(url) && !shown.contains("ops_1"), "{shown}");
}

#[tokio::test]
async fn a_password_is_in_a_file_and_never_an_argument() {
    let fleet = FakeFleet::start().await;
    let url = fleet.url.as_str();
    let words = ["api", "account-create", "--name", "ann", "--role", "admin"];
    let given = ["--password", "correct horse battery", "--url", url];
    let done = onprem(&[&words[..], &given].concat()).await;
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("--json-body FILE"), "{}", done.err);
    let done = onprem(&[&words[..], &["--url", url]].concat()).await;
    assert!(done.code != 0 && !done.err.contains("--password"), "{}", done.err);
    assert!(fleet.seen().is_empty());
}

#[tokio::test]
async fn a_login_elsewhere_leaves_the_context_of_this_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let password = folder.path().join("password");
    std::fs::write(&password, "secret word\n").unwrap();
    let (config, password) =
        (file.to_str().unwrap(), password.to_str().unwrap());
    let (here, there) = (FakeFleet::start().await, FakeFleet::start().await);
    for (fleet, token) in
        [(&here, "ops_1"), (&there, "ops_2"), (&here, "ops_3")]
    {
        fleet.on("POST /v1/login", 200, &json!({"token": token}));
        let url = fleet.url.as_str();
        let words = ["login", "ann", "--url", url, "--config", config];
        let words = [&words[..], &["--password-file", password]].concat();
        let done = onprem(&words).await;
        assert_eq!(done.code, 0, "{}", done.err);
    }
    let list = ["context", "list", "--config", config];
    let listed = onprem(&list).await.out;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let current = listed.lines().find(|line| line.starts_with('*'));
    assert!(current.is_some_and(|line| line.ends_with(&here.url)), "{listed}");
    assert!(std::fs::read_to_string(&file).unwrap().contains("ops_2"));
}
