//! The certificate of the TLS port: asked for, replaced, running out.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams,
    DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use x509_parser::{pem::parse_x509_pem, time::ASN1Time};

use crate::client::{Blade, Client};

const SERVICE: &str = "/redfish/v1/CertificateService";
const COLLECTION: &str =
    "/redfish/v1/Managers/bmc/NetworkProtocol/HTTPS/Certificates";
const SHOWN: &str =
    "/redfish/v1/Managers/bmc/NetworkProtocol/HTTPS/Certificates/1";
const GENERATE: &str = "/redfish/v1/CertificateService/Actions/\
    CertificateService.GenerateCSR";
const REPLACE: &str = "/redfish/v1/CertificateService/Actions/\
    CertificateService.ReplaceCertificate";

/// Who signs, and his certificate.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, request: &str) -> String {
        let request = CertificateSigningRequestParams::from_pem(request);
        request.unwrap().signed_by(&self.issuer).unwrap().pem()
    }
}

/// A certificate with its key that ends in so many days.
fn ending(days: i64) -> String {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let now = chrono::Utc::now();
    let end = now + chrono::TimeDelta::days(days);
    let at = ASN1Time::from_timestamp(end.timestamp()).unwrap();
    params.not_after = at.to_datetime();
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    format!("{}{pem}", key.serialize_pem())
}

async fn request(admin: &Client, mut parameters: Value) -> String {
    parameters["CertificateCollection"] = json!({"@odata.id": COLLECTION});
    let made = admin.post(GENERATE, &parameters).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.body["CertificateCollection"]["@odata.id"], COLLECTION);
    assert!(!made.body.to_string().contains("PRIVATE"));
    made.body["CSRString"].as_str().unwrap().to_owned()
}

fn replacement(pem: &str, kind: &str) -> Value {
    json!({"CertificateString": pem, "CertificateType": kind,
        "CertificateUri": {"@odata.id": SHOWN}})
}

#[tokio::test]
async fn a_signed_request_is_taken_even_after_a_restart() {
    let blade = Blade::simulated().await;
    let parameters = json!({
        "CommonName": "blade-7.example", "Organization": "Example",
        "OrganizationalUnit": "Room 3", "City": "Bern", "State": "BE",
        "Country": "ch", "Email": "ops@example.org", "Surname": "Muster",
        "GivenName": "Ada", "Initials": "A", "ContactPerson": "Ada Muster",
        "AlternativeNames": ["localhost", "blade-7.example", "127.0.0.1"],
        "KeyUsage": ["DigitalSignature", "ServerAuthentication"],
        "KeyPairAlgorithm": "TPM_ALG_ECDSA",
        "KeyCurveId": "TPM_ECC_NIST_P384", "KeyBitLength": 384,
        "ChallengePassword": "revoke it", "UnstructuredName": "seven",
    });
    let text = request(&blade.admin(), parameters).await;
    let blade = blade.restarted().await;
    let authority = Authority::new("Example CA");
    let chain = format!("{}{}", authority.sign(&text), authority.pem);
    let admin = blade.admin();
    let replaced = admin.post(REPLACE, &replacement(&chain, "PEMchain")).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);

    // The old one is trusted no more, and the new one is shown.
    let admin = admin.trusting(&authority.pem);
    let now = admin.get(SHOWN).await.body;
    assert_eq!(now["CertificateType"], "PEMchain");
    let subject = &now["Subject"];
    for (name, value) in [
        ("CommonName", "blade-7.example"),
        ("Organization", "Example"),
        ("OrganizationalUnit", "Room 3"),
        ("City", "Bern"),
        ("State", "BE"),
        ("Country", "CH"),
        ("Email", "ops@example.org"),
    ] {
        assert_eq!(subject[name], value);
    }
    assert_eq!(now["Issuer"]["CommonName"], "Example CA");
    assert_eq!(now["Status"]["Health"], "OK");
    let usages = json!(["DigitalSignature", "ServerAuthentication"]);
    assert_eq!(now["KeyUsage"], usages);
    assert!(!now.to_string().contains("PRIVATE"));
    let problems = onprem_redfish::check(&now);
    assert!(problems.is_empty(), "{problems:?}");
    let waiting = blade.state.path().join("tls/waiting-keys.pem");
    assert_eq!(std::fs::read_to_string(waiting).unwrap(), "");
    let blade = blade.restarted().await;
    let again = blade.admin().trusting(&authority.pem).get(SHOWN).await;
    assert_eq!(again.body["CertificateString"], now["CertificateString"]);
}

#[tokio::test]
async fn each_kind_of_key_serves() {
    let blade = Blade::simulated().await;
    let authority = Authority::new("Example CA");
    let mut admin = blade.admin();
    for (algorithm, curve) in [
        ("TPM_ALG_ECDSA", "TPM_ECC_NIST_P256"),
        ("TPM_ALG_EDDSA", "TPM_ECC_CURVE_25519"),
    ] {
        let text = request(
            &admin,
            json!({"AlternativeNames": ["localhost"],
                "KeyPairAlgorithm": algorithm, "KeyCurveId": curve}),
        )
        .await;
        let signed = authority.sign(&text);
        let body = replacement(&signed, "PEM");
        assert_eq!(admin.post(REPLACE, &body).await.status, 200, "{curve}");
        admin = admin.trusting(&authority.pem);
        assert_eq!(admin.get(SHOWN).await.status, 200, "{curve}");
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_with_its_key_or_another() {
    let blade = Blade::simulated().await;
    let authority = Authority::new("Example CA");
    let mut admin = blade.admin();
    let key_of = |pem: &str| {
        let (_, section) = parse_x509_pem(pem.as_bytes()).unwrap();
        section.parse_x509().unwrap().public_key().raw.to_owned()
    };
    let before = admin.get(SHOWN).await.body;
    let old = key_of(before["CertificateString"].as_str().unwrap());
    for (action, same) in [("Renew", true), ("Rekey", false)] {
        let uri = format!("{SHOWN}/Actions/Certificate.{action}");
        let made = admin.post(&uri, &json!({})).await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!(made.body["Certificate"]["@odata.id"], SHOWN);
        let text = made.body["CSRString"].as_str().unwrap();
        let signed = authority.sign(text);
        assert_eq!(key_of(&signed) == old, same, "{action}");
        let body = replacement(&signed, "PEM");
        assert_eq!(admin.post(REPLACE, &body).await.status, 200);
        admin = admin.trusting(&authority.pem);
        let now = admin.get(SHOWN).await.body;
        assert_eq!(now["Subject"], before["Subject"]);
    }
}

#[tokio::test]
async fn mistakes_are_named_and_replace_nothing() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let before = admin.get(SHOWN).await.body;
    let here = json!({"@odata.id": COLLECTION});
    let long = "x".repeat(65);
    for (name, value, message) in [
        ("CommonName", json!(long), "ActionParameterValueError"),
        ("Country", json!("Switzerland"), "ActionParameterValueError"),
        ("Email", json!("ö@example.org"), "ActionParameterValueError"),
        ("AlternativeNames", json!([""]), "ActionParameterValueFormatError"),
        ("AlternativeNames", json!(["ö"]), "ActionParameterValueFormatError"),
        ("KeyPairAlgorithm", json!("RSA"), "ActionParameterValueNotInList"),
        ("KeyCurveId", json!("P-256"), "ActionParameterValueNotInList"),
        ("KeyBitLength", json!(1024), "ActionParameterValueNotInList"),
        ("KeyUsage", json!(["KeyCertSign"]), "ActionParameterValueNotInList"),
        ("ChallengePassword", json!(""), "ActionParameterValueError"),
        ("Colour", json!("red"), "ActionParameterUnknown"),
    ] {
        let body = json!({"CertificateCollection": here, name: value});
        let refused = admin.post(GENERATE, &body).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.body);
        assert_eq!(refused.messages(), [message], "{name}");
    }
    let elsewhere = json!({"CertificateCollection":
        {"@odata.id": "/redfish/v1/AccountService/Accounts"}});
    let refused = admin.post(GENERATE, &elsewhere).await;
    assert_eq!(refused.messages(), ["ActionParameterValueError"]);

    let foreign = Authority::new("Example CA").pem;
    for (pem, kind) in [("no PEM", "PEM"), (&foreign, "PEM"), ("", "PKCS7")] {
        let refused = admin.post(REPLACE, &replacement(pem, kind)).await;
        assert_eq!(refused.messages(), ["ActionParameterValueError"]);
    }
    assert_eq!(admin.get(SHOWN).await.body, before);
    let operator = blade.account("olga", "Operator").await;
    for uri in [SHOWN, COLLECTION] {
        assert_eq!(operator.get(uri).await.status, 403);
    }
    let body = json!({"CertificateCollection": here});
    assert_eq!(operator.post(GENERATE, &body).await.status, 403);
    let service = admin.get(SERVICE).await.body;
    let about = &service["Actions"]["#CertificateService.GenerateCSR"];
    let algorithms = &about["KeyPairAlgorithm@Redfish.AllowableValues"];
    assert_eq!(*algorithms, json!(["TPM_ALG_ECDSA", "TPM_ALG_EDDSA"]));
}

#[tokio::test]
async fn of_many_requests_the_latest_can_be_taken() {
    let blade = Blade::simulated().await;
    let authority = Authority::new("Example CA");
    let admin = blade.admin();
    let mut requests = Vec::new();
    for _ in 0..6 {
        let parameters = json!({"AlternativeNames": ["localhost"]});
        requests.push(request(&admin, parameters).await);
    }
    let oldest = replacement(&authority.sign(&requests[0]), "PEM");
    let refused = admin.post(REPLACE, &oldest).await;
    assert_eq!(refused.messages(), ["ActionParameterValueError"]);
    let third = replacement(&authority.sign(&requests[2]), "PEM");
    assert_eq!(admin.post(REPLACE, &third).await.status, 200);
    let admin = admin.trusting(&authority.pem);
    let latest = replacement(&authority.sign(&requests[5]), "PEM");
    assert_eq!(admin.post(REPLACE, &latest).await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_runs_out_is_told_in_time() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let stream = "/redfish/v1/EventService/SSE";
    let mut stream = admin.open(Method::GET, stream, "").await.into_body();
    let mut text = String::new();
    for (days, health, message) in [
        (10, "Warning", "ResourceStatusChangedWarning"),
        (-1, "Critical", "ResourceStatusChangedCritical"),
        (100, "OK", "ResourceStatusChangedOK"),
    ] {
        let body = replacement(&ending(days), "PEM");
        let admin = Anyway::new(&blade);
        assert_eq!(admin.post(REPLACE, &body).await, 200);
        let shown = admin.get(SHOWN).await;
        assert_eq!(shown["Status"]["Health"], health);
        let heard = async {
            while !text.contains(message) {
                let frame = stream.frame().await.unwrap().unwrap();
                let data = frame.into_data().unwrap();
                text.push_str(std::str::from_utf8(&data).unwrap());
            }
        };
        timeout(Duration::from_secs(20), heard).await.expect(message);
        assert!(text.contains(SHOWN));
    }
}

/// A client that takes any certificate.
struct Anyway {
    client: reqwest::Client,
    base: String,
    password: String,
}

impl Anyway {
    fn new(blade: &Blade) -> Self {
        let client = crate::support::rig::client();
        let base = format!("https://{}", blade.agent.redfish_address());
        Self { client, base, password: blade.password.clone() }
    }

    async fn post(&self, path: &str, body: &Value) -> u16 {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.basic_auth("admin", Some(&self.password));
        let request = request.header("content-type", "application/json");
        let reply = request.body(body.to_string()).send().await;
        reply.unwrap().status().as_u16()
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = request.basic_auth("admin", Some(&self.password));
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}
