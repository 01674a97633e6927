//! The authorizers of routes. One that cannot be applied lets nobody in.

use anyhow::{Context, Result, bail, ensure};

use super::super::authorizer;
use super::super::properties::ROUTE;
use super::super::resource::Resource;
use super::super::values::all_texts;
use super::{Parts, is_websocket};
use crate::model::Authorizer;

/// The property of a route, an API or an authorizer that the reader of SAM or OpenAPI adds if their guard cannot be
/// applied: the reason.
pub const DENIED: &str = "(denied)";

/// The authorizer of a route, and the scopes of which a token must have one.
pub(super) type Guard = (Option<Authorizer>, Vec<String>);

impl Parts<'_> {
    /// Returns the authorizer of an API that lets nobody in.
    pub(super) fn denied(&mut self) -> Option<Authorizer> {
        let why = self.denied.clone()?;
        Some(self.deny(self.api, &why))
    }

    /// Notes a route that takes the same requests as `first`, which is served. If the two are not guarded alike, returns
    /// the authorizer of `first` then: AWS may have the other one.
    pub(super) fn twin(
        &mut self,
        first: &Resource,
        twin: &Resource,
        is_alike: bool,
    ) -> Option<Authorizer> {
        let place = first.place();
        if !is_alike {
            return Some(self.deny(
                twin,
                &format!("{place} takes the same requests, with another one"),
            ));
        }
        let why = format!("{place} takes the same requests, and is served in its place");
        self.resources.skip(twin, &why);
        None
    }

    /// Returns the guard of a route.
    pub(super) fn guard_of(&mut self, route: &Resource, key: &str) -> Guard {
        let guard = self.authorizer(route);
        let why = match &guard.0 {
            Some(Authorizer::Jwt(_)) if is_websocket(self.api) => {
                "a WebSocket API takes no JWT authorizer"
            }
            Some(Authorizer::Lambda(_) | Authorizer::Iam)
                if is_websocket(self.api) && key != "$connect" =>
            {
                "a WebSocket API takes an authorizer on $connect only"
            }
            _ => return guard,
        };
        (Some(self.deny(route, why)), Vec::new())
    }

    fn authorizer(&mut self, route: &Resource) -> Guard {
        let authorizer = self.guard(route).and_then(|authorizer| {
            let scopes = all_texts(&route.properties["AuthorizationScopes"]);
            let scopes = scopes.context("AuthorizationScopes")?;
            ensure!(
                scopes.is_empty() || matches!(authorizer, Some(Authorizer::Jwt(_))),
                "AuthorizationScopes need a JWT authorizer"
            );
            Ok((authorizer, scopes))
        });
        match authorizer {
            Ok((authorizer, scopes)) => {
                self.note_unserved(authorizer.as_ref(), route);
                (authorizer, scopes)
            }
            Err(why) => (Some(self.deny(route, &format!("{why:#}"))), Vec::new()),
        }
    }

    /// Returns the authorizer of a route for which nobody is let in, and notes why.
    fn deny(&mut self, route: &Resource, why: &str) -> Authorizer {
        let note = format!("its authorization: {why}: nobody is let in");
        self.resources.skip(route, &note);
        Authorizer::Deny(why.to_owned())
    }

    fn guard(&self, route: &Resource) -> Result<Option<Authorizer>> {
        if let Some(why) = self.denied.as_deref().or_else(|| route.text(DENIED)) {
            bail!("{why}");
        }
        if let Some(why) = ROUTE.unknown_guard(&route.properties) {
            bail!("{why}");
        }
        let id = &route.properties["AuthorizerId"];
        let kind = match &route.properties["AuthorizationType"] {
            kind if kind.is_null() && id.is_null() => "NONE",
            kind => kind.as_str().context("AuthorizationType is not known")?,
        };
        match kind {
            "NONE" => return Ok(None),
            "AWS_IAM" => return Ok(Some(Authorizer::Iam)),
            "CUSTOM" | "JWT" => {}
            other => bail!("there is no AuthorizationType {other}"),
        }
        let id = id.as_str();
        let id = id.with_context(|| format!("AuthorizationType {kind} needs an AuthorizerId"))?;
        let resource = self.find("Authorizer", id);
        let resource = resource.with_context(|| format!("there is no authorizer {id}"))?;
        if let Some(why) = resource.text(DENIED) {
            bail!("{}: {why}", resource.place());
        }
        let authorizer = authorizer::read(resource, self.functions);
        let authorizer = authorizer.with_context(|| resource.place())?;
        ensure!(
            (kind == "JWT") == matches!(authorizer, Authorizer::Jwt(_)),
            "{} is no authorizer of AuthorizationType {kind}",
            resource.place()
        );
        Ok(Some(authorizer))
    }

    /// Notes an authorizer whose function is not served.
    fn note_unserved(&mut self, authorizer: Option<&Authorizer>, route: &Resource) {
        let Some(Authorizer::Lambda(lambda)) = authorizer else {
            return;
        };
        if !self.functions.contains_key(&lambda.function) {
            let resource = self.find("Authorizer", &lambda.id).unwrap_or(route).clone();
            let why = format!(
                "its function {} is not served: its routes respond with 500",
                lambda.function
            );
            self.resources.skip(&resource, &why);
        }
    }
}
