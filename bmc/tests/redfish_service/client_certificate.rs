//! Clients that show a certificate instead of a password.

use http::Method;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair,
    OtherNameValue, SanType,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    certificates::Authority,
    client::{ACCOUNTS, Blade, Client},
};

const SERVICE: &str = "/redfish/v1/AccountService";
const ISSUERS: &str = "/redfish/v1/AccountService/MultiFactorAuth/\
    ClientCertificate/Certificates";
const LOCATIONS: &str = "/redfish/v1/CertificateService/CertificateLocations";
const SYSTEMS: &str = "/redfish/v1/Systems";
const CHASSIS: &str = "/redfish/v1/Chassis/blade";

impl Authority {
    /// A certificate for `name`, with its key.
    fn user(&self, name: &str, principal: Option<&str>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(principal) = principal {
            let upn = vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
            let value = OtherNameValue::Utf8String(principal.to_owned());
            let name = SanType::OtherName((upn, value));
            params.subject_alt_names.push(name);
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

fn showing(client: Client, of: &(String, String)) -> Client {
    client.showing(&of.0, &of.1)
}

fn certificate(pem: &str) -> Value {
    json!({"CertificateString": pem, "CertificateType": "PEM"})
}

fn rules(rules: &Value) -> Value {
    json!({"MultiFactorAuth": {"ClientCertificate": rules}})
}

/// Trusts `authority`, and takes certificates; where the issuer is.
async fn trust(blade: &Blade, authority: &Authority) -> String {
    let admin = blade.admin();
    let made = admin.post(ISSUERS, &certificate(&authority.pem)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let on = rules(&json!({"Enabled": true}));
    let set = admin.patch(SERVICE, &on).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let of = &set.body["MultiFactorAuth"]["ClientCertificate"];
    assert_eq!(of["Enabled"], true);
    assert_eq!(of["Certificates"]["@odata.id"], ISSUERS);
    made.header("location").to_owned()
}

#[tokio::test]
async fn a_certificate_stands_for_an_account_until_its_issuer_goes() {
    let blade = Blade::simulated().await;
    let authority = Authority::new("People");
    let olga = authority.user("olga", None);
    blade.account("olga", "Operator").await;
    // Nobody asks for it as long as it is not enabled.
    let shows = showing(blade.stranger(), &olga);
    assert_eq!(shows.get(SYSTEMS).await.status, 401);
    let issuer = trust(&blade, &authority).await;
    assert_eq!(shows.get(SYSTEMS).await.status, 200);
    let tag = json!({"AssetTag": "by certificate"});
    assert_eq!(shows.patch(CHASSIS, &tag).await.status, 200);
    let account = json!({"Enabled": false});
    let uri = format!("{ACCOUNTS}/olga");
    assert_eq!(shows.patch(&uri, &account).await.status, 403);
    let locations = blade.admin().get(LOCATIONS).await.body;
    let links = &locations["Links"]["Certificates"];
    assert_eq!(links.as_array().unwrap().len(), 2);
    assert_eq!(links[1]["@odata.id"], *issuer);

    let blade = blade.restarted().await;
    let shows = showing(blade.stranger(), &olga);
    let mut open = shows.connection().await;
    assert_eq!(open.send(Method::GET, SYSTEMS, "").await.status, 200);
    blade.admin().patch(&uri, &account).await;
    assert_eq!(open.send(Method::GET, SYSTEMS, "").await.status, 401);
    blade.admin().patch(&uri, &json!({"Enabled": true})).await;
    assert_eq!(open.send(Method::GET, SYSTEMS, "").await.status, 200);
    assert_eq!(blade.admin().delete(&issuer).await.status, 204);
    let refused = open.send(Method::GET, SYSTEMS, "").await;
    assert_eq!(refused.status, 401);
    assert_eq!(blade.admin().get(&issuer).await.status, 404);
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_and_told_why() {
    let blade = Blade::simulated().await;
    let (people, others) = (Authority::new("People"), Authority::new("X"));
    trust(&blade, &people).await;
    for (shown, why) in [
        (others.user("admin", None), "not accepted"),
        (people.user("nobody", None), "no account"),
    ] {
        let client = showing(blade.stranger(), &shown);
        let refused = client.get(SYSTEMS).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.messages(), ["NoValidSession"]);
        let text = refused.body.to_string();
        assert!(text.contains(why), "{text}");
        // A password counts all the same, and a wrong token does not.
        let known = showing(blade.admin(), &shown);
        assert_eq!(known.get(SYSTEMS).await.status, 200);
    }
    let shown = people.user("admin", None);
    let client = showing(blade.stranger(), &shown);
    assert_eq!(client.get(SYSTEMS).await.status, 200);
    let wrong = client.with("x-auth-token", "00");
    assert_eq!(wrong.get(SYSTEMS).await.status, 401);
}

#[tokio::test]
async fn another_sites_page_cannot_use_the_certificate_to_write() {
    let blade = Blade::simulated().await;
    let people = Authority::new("People");
    trust(&blade, &people).await;
    let client = showing(blade.stranger(), &people.user("admin", None));
    let tag = json!({"AssetTag": "7"});
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 200),
    ] {
        // It knows passwords as well.
        for client in [client.clone(), blade.admin()] {
            let from = client.with(name, value);
            let reply = from.patch(CHASSIS, &tag).await;
            assert_eq!(reply.status, status, "{name}: {value}");
            assert_eq!(from.get(CHASSIS).await.status, 200);
        }
    }
    let here = format!("https://localhost:{}", client.port());
    let from = client.with("origin", &here);
    assert_eq!(from.patch(CHASSIS, &tag).await.status, 200);
}

#[tokio::test]
async fn nobody_shuts_himself_out_by_demanding_certificates() {
    let blade = Blade::simulated().await;
    let people = Authority::new("People");
    let issuer = trust(&blade, &people).await;
    let demand = rules(&json!({"RespondToUnauthenticatedClients": false}));
    let refused = blade.admin().patch(SERVICE, &demand).await;
    assert_eq!(refused.messages(), ["PropertyValueConflict"]);
    let admin = showing(blade.stranger(), &people.user("admin", None));
    assert_eq!(admin.patch(SERVICE, &demand).await.status, 200);
    assert_eq!(admin.get(SYSTEMS).await.status, 200);
    let foreign = Authority::new("X").user("admin", None);
    for client in [blade.admin(), showing(blade.stranger(), &foreign)] {
        assert!(is_shut_out(&client).await);
    }
    let last = admin.delete(&issuer).await;
    assert_eq!(last.messages(), ["ResourceInUse"]);

    let blade = blade.restarted().await;
    assert!(is_shut_out(&blade.admin()).await);
    let admin = showing(blade.stranger(), &people.user("admin", None));
    let again = rules(&json!({"RespondToUnauthenticatedClients": true}));
    assert_eq!(admin.patch(SERVICE, &again).await.status, 200);
    assert_eq!(blade.admin().get(SYSTEMS).await.status, 200);
}

async fn is_shut_out(client: &Client) -> bool {
    let mut stream = client.secure(&[b"http/1.1"]).await;
    let request = b"GET /redfish/v1/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let written = stream.write_all(request).await;
    let mut byte = [0];
    written.is_err() || !matches!(stream.read(&mut byte).await, Ok(1))
}

#[tokio::test]
async fn a_principal_name_can_stand_for_the_account() {
    let blade = Blade::simulated().await;
    let people = Authority::new("People");
    trust(&blade, &people).await;
    let mapping = |name| rules(&json!({"CertificateMappingAttribute": name}));
    let admin = blade.admin();
    let refused = admin.patch(SERVICE, &mapping("Whole")).await;
    assert_eq!(refused.messages(), ["PropertyValueNotInList"]);
    let set = admin.patch(SERVICE, &mapping("UserPrincipalName")).await;
    let of = &set.body["MultiFactorAuth"]["ClientCertificate"];
    assert_eq!(of["CertificateMappingAttribute"], "UserPrincipalName");
    for (principal, status) in [
        (Some("admin@corp.example"), 200),
        (Some("eve@corp.example"), 401),
        (Some("admin"), 401),
        (None, 401),
    ] {
        let shown = people.user("admin", principal);
        let client = showing(blade.stranger(), &shown);
        let reply = client.get(SYSTEMS).await;
        assert_eq!(reply.status, status, "{principal:?}");
    }
}

#[tokio::test]
async fn what_cannot_vouch_is_not_taken() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let people = Authority::new("People");
    let (leaf, key) = people.user("olga", None);
    let two = format!("{}{}", people.pem, Authority::new("X").pem);
    for pem in ["", "no PEM", &*leaf, &*key, &*two] {
        let refused = admin.post(ISSUERS, &certificate(pem)).await;
        assert_eq!(refused.messages(), ["PropertyValueError"]);
        assert!(!refused.body.to_string().contains("BEGIN"));
    }
    let body = json!({"CertificateString": people.pem,
        "CertificateType": "PKCS12"});
    let refused = admin.post(ISSUERS, &body).await;
    assert_eq!(refused.messages(), ["PropertyValueNotInList"]);
    let made = admin.post(ISSUERS, &certificate(&people.pem)).await;
    assert_eq!(made.body["Subject"]["CommonName"], "People");
    assert_eq!(made.body["KeyUsage"], json!(["KeyCertSign"]));
    let again = admin.post(ISSUERS, &certificate(&people.pem)).await;
    assert_eq!(again.messages(), ["ResourceAlreadyExists"]);
    // One is put in the place of another.
    let next = Authority::new("Next");
    let uri = made.header("location");
    let replace = json!({"CertificateString": next.pem,
        "CertificateType": "PEM", "CertificateUri": {"@odata.id": uri}});
    let action = "/redfish/v1/CertificateService/Actions/\
        CertificateService.ReplaceCertificate";
    assert_eq!(admin.post(action, &replace).await.status, 200);
    let now = admin.get(uri).await.body;
    assert_eq!(now["Subject"]["CommonName"], "Next");
    for number in 1..16 {
        let more = Authority::new(&format!("CA {number}"));
        let made = admin.post(ISSUERS, &certificate(&more.pem)).await;
        assert_eq!(made.status, 201);
    }
    let more = admin.post(ISSUERS, &certificate(&people.pem)).await;
    assert_eq!(more.messages(), ["CreateLimitReachedForResource"]);
    let operator = blade.account("olga", "Operator").await;
    assert_eq!(operator.get(uri).await.status, 403);
    assert_eq!(operator.delete(uri).await.status, 403);
}
