//! Folders with a template and the code of its functions.

use std::path::{Path, PathBuf};

use tests::LocalGateway;
use tests::launch::Launch;

/// A folder of a project, outside of this workspace. It is removed when this is dropped.
pub struct Project(PathBuf);

impl Project {
    /// Writes files into a new folder.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let name = format!("meetme-chat-{:016x}", fastrand::u64(..));
        let project = Self(std::env::temp_dir().join(name));
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// Writes a file, and the folders that it is in.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("the folder is writable");
        std::fs::write(path, text).expect("the folder is writable");
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Returns the launch of a gateway on `template.yaml`.
    pub fn launch(&self) -> Launch {
        Launch::template(self.0.join("template.yaml"))
    }

    /// Starts a gateway on `template.yaml`.
    pub async fn start(&self) -> LocalGateway {
        self.launch().start().await.expect("it starts")
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // If this fails, the project remains in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns a template with functions, each a logical id with its properties, and a WebSocket API of
/// `routes`, which are keys with the functions behind them.
pub fn template(functions: &[(&str, &str)], routes: &[(&str, &str)]) -> String {
    let functions = functions.iter().map(|(id, properties)| {
        format!("  {id}: {{Type: AWS::Serverless::Function, Properties: {{{properties}}}}}\n")
    });
    let routes = routes
        .iter()
        .map(|(key, function)| format!("        {key}: {{FunctionArn: !GetAtt {function}.Arn}}\n"));
    let head = "Transform: AWS::Serverless-2016-10-31\n\
                Globals: {Function: {Timeout: 20}}\n\
                Resources:\n"
        .to_owned();
    let api = "  Chat:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:\n      \
               StageName: prod\n      RouteSelectionExpression: $request.body.action\n      Routes:\n";
    let mut routes: String = routes.collect();
    if routes.is_empty() {
        routes =
            "        unused: {FunctionArn: arn:aws:lambda:us-east-1:123456789012:function:Other}\n"
                .to_owned();
    }
    head + &functions.collect::<String>() + api + &routes
}

/// A function that uses only the standard library, so that it compiles quickly. It returns
/// `RESULT`.
pub const RUST_FUNCTION: &str = r#"
use std::io::{Read, Write};

fn main() {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("the variable is set");
    loop {
        let response = exchange(&api, "GET", "next", "");
        let lines = response.lines().filter_map(|line| line.split_once(": "));
        let mut ids = lines.filter(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id"));
        if let Some((_, id)) = ids.next() {
            exchange(&api, "POST", &format!("{id}/response"), "RESULT");
        }
    }
}

fn exchange(api: &str, method: &str, path: &str, body: &str) -> String {
    let api = api.trim_start_matches("http://");
    // `cargo lambda watch` has a path for each function.
    let (address, base) = api.split_at(api.find('/').unwrap_or(api.len()));
    let mut stream = std::net::TcpStream::connect(address).expect("accepted");
    let length = body.len();
    write!(
        stream,
        "{method} {base}/2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ).expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("received");
    response
}
"#;
