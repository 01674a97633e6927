//! Tokens of well-known issuers.

use super::*;

/// Tokens as [Cognito] makes them: the ID token is for the app client, the access token names it in
/// another claim and has no audience.
///
/// [Cognito]: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-with-identity-providers.html
#[tokio::test]
async fn tokens_of_cognito_are_accepted() {
    let issuer = Issuer::start(Key::rsa("1234example="));
    let sub = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    let id_token = with(
        &issuer,
        json!({
            "sub": sub, "token_use": "id", "email": USER, "email_verified": true,
            "cognito:username": sub, "cognito:groups": ["professors"],
            "auth_time": 1_500_009_400, "event_id": "cccccccc-6f8d-11e7-a4fb-06d9f7e1ad0e",
        }),
    );
    let access_token = with(
        &issuer,
        json!({
            "sub": sub, "token_use": "access", "aud": null, "client_id": issuer.audience,
            "scope": "openid email", "username": sub, "version": 2,
        }),
    );
    let by_sub = verifier_by(&issuer, Timing::default(), "sub");
    assert_eq!(user(&by_sub, &issuer.key.sign(&id_token)).await, sub);
    assert_eq!(user(&by_sub, &issuer.key.sign(&access_token)).await, sub);
    let by_email = verifier_by(&issuer, Timing::default(), "email");
    assert_eq!(user(&by_email, &issuer.key.sign(&id_token)).await, USER);
    let access_token = issuer.key.sign(&access_token);
    assert_eq!(rejection(&by_email, &access_token).await, Rejection::NoUser);
    let of_another_client = with(&issuer, json!({"aud": null, "client_id": "another"}));
    let of_another_client = issuer.key.sign(&of_another_client);
    assert_eq!(
        rejection(&by_sub, &of_another_client).await,
        Rejection::Audience
    );
}

/// Tokens as [Auth0] makes them: several audiences, and claims of one's own under a URL.
///
/// [Auth0]: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
#[tokio::test]
async fn tokens_of_auth0_are_accepted() {
    const EMAIL: &str = "https://meetme.example.com/email";
    let issuer = Issuer::start(Key::rsa(
        "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg",
    ));
    let token = issuer.key.sign(&with(
        &issuer,
        json!({
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "scope": "openid profile email",
            "aud": [issuer.audience, "https://meetme.eu.auth0.com/userinfo"],
            "azp": "my_client_id", EMAIL: USER, format!("{EMAIL}_verified"): true,
        }),
    ));
    let by_sub = verifier_by(&issuer, Timing::default(), "sub");
    assert_eq!(
        user(&by_sub, &token).await,
        "auth0|5f7c8ec7c33c6c004bbafe82"
    );
    let by_email = verifier_by(&issuer, Timing::default(), EMAIL);
    assert_eq!(user(&by_email, &token).await, USER);
    for unverified in [
        json!({EMAIL: USER}),
        json!({EMAIL: USER, "email_verified": true}),
    ] {
        let token = issuer.key.sign(&with(&issuer, unverified));
        assert_eq!(rejection(&by_email, &token).await, Rejection::NoUser);
    }
}

/// Tokens as [Keycloak] makes them, among keys of which one is for encryption.
///
/// [Keycloak]: https://www.keycloak.org/docs/latest/server_admin/#_audience
#[tokio::test]
async fn tokens_of_keycloak_are_accepted() {
    let issuer = Issuer::start(Key::rsa("FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"));
    let mut encrypting = Key::other_rsa("enc").public();
    encrypting["use"] = json!("enc");
    encrypting["alg"] = json!("RSA-OAEP");
    issuer.publish_raw(vec![encrypting, issuer.key.public()]);
    let claims = json!({
        "jti": "9f38f9b1", "typ": "Bearer", "azp": "meetme-web", "aud": ["meetme-chat", "account"],
        "realm_access": {"roles": ["offline_access"]}, "scope": "email profile",
        "email_verified": true, "preferred_username": "prof", "email": USER,
    });
    let token = issuer.key.sign(&with(&issuer, claims.clone()));
    let by_email = verifier_by(&issuer, Timing::default(), "email");
    assert_eq!(user(&by_email, &token).await, USER);
    for verified in [json!(false), json!("false"), json!(1), json!(null)] {
        let mut claims = with(&issuer, claims.clone());
        claims["email_verified"] = verified;
        let token = issuer.key.sign(&claims);
        assert_eq!(rejection(&by_email, &token).await, Rejection::NoUser);
    }
    // Without a mapper a token is for the account console alone.
    let token = issuer.key.sign(&with(&issuer, json!({"aud": "account"})));
    assert_eq!(rejection(&by_email, &token).await, Rejection::Audience);
}
