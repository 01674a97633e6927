//! Gateways on templates of other people's shapes, with the function `probe` behind all routes.

use std::path::PathBuf;

use tests::{LocalGateway, server};

/// The function, and its logical id.
const PROBE: &str = "
  Probe:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: probe}}
    Properties: {CodeUri: ., Handler: bootstrap, Runtime: provided.al2023, Timeout: 20}
";

/// Writes a template whose text ends with its resources, and adds the function `Probe` to these.
pub fn write(template: &str) -> PathBuf {
    let path = server::scratch_folder().join(format!("{:016x}.yaml", fastrand::u64(..)));
    std::fs::write(&path, template.trim_end().to_owned() + PROBE).expect("the folder is writable");
    path
}

/// Starts a gateway on a template as of [`write`].
pub async fn serve(template: &str) -> LocalGateway {
    let gateway = LocalGateway::start(&write(template), &[]).await;
    gateway.expect("it starts")
}
