//! A real browser on a host: headless Chromium, told what to do over pipes, in its own
//! debugging protocol: JSON messages with a zero byte after each.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use super::{BOUND, Host, Process, within};

/// How long the browser may take for one thing. It is far slower than what is tested.
const PATIENCE: Duration = Duration::from_secs(120);

/// One page in a browser.
pub(crate) struct Browser {
    _process: Process,
    orders: File,
    answers: Receiver<Value>,
    number: u64,
    session: Option<String>,
}

impl Browser {
    /// Starts one on a host, with an empty page.
    pub(crate) fn start(host: &Host) -> Self {
        let path = |name: &str| host.directory().join(format!("browser.{name}"));
        for pipe in ["orders", "answers"] {
            mkfifo(&path(pipe), Mode::S_IRWXU).expect("a named pipe");
        }
        let mut command = Command::new("sh");
        // It takes orders on descriptor 3 and answers on 4.
        command.args(["-c", "exec chromium \"$@\" 3<\"$ORDERS\" 4>\"$ANSWERS\"", "sh"]);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]);
        command.args(["--no-first-run", "--disable-background-networking"]);
        command.arg("--remote-debugging-pipe");
        command.arg(format!("--user-data-dir={}", path("profile").display()));
        command.env("HOME", host.directory());
        command.env("ORDERS", path("orders")).env("ANSWERS", path("answers"));
        let process = host.start(&mut command, "browser");
        let orders = File::options().write(true).open(path("orders")).expect("its orders");
        let answers = listen(File::open(path("answers")).expect("its answers"));
        let mut browser = Self { _process: process, orders, answers, number: 0, session: None };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attached);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Opens an address on a screen of this width, light or dark.
    pub(crate) fn open(&mut self, url: &str, width: u32, scheme: &str) {
        self.screen(width, scheme);
        self.call("Page.navigate", &json!({ "url": url }));
    }

    /// Changes the screen under an open page.
    pub(crate) fn screen(&mut self, width: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// What an expression is in the page, as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let wrapped = format!("String({expression})");
        let answer = self.call("Runtime.evaluate", &json!({ "expression": wrapped }));
        let value = answer["result"]["value"].as_str();
        value.unwrap_or_else(|| panic!("{expression}: {answer}")).to_owned()
    }

    /// Waits until an expression is this text.
    #[track_caller]
    pub(crate) fn shows(&mut self, expression: &str, expected: &str) {
        let mut found = String::new();
        within(BOUND, &format!("{expression} is {expected}"), || {
            let answer = self.call(
                "Runtime.evaluate",
                &json!({ "expression": format!("String({expression})") }),
            );
            // Before the page is there, there is nothing to ask.
            answer["result"]["value"].as_str().unwrap_or_default().clone_into(&mut found);
            found == expected
        });
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let whole = json!({ "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", &whole);
        let data = answer["data"].as_str().expect("a picture");
        fs::write(file, base64(data)).expect("a file for the picture");
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut order = order.to_string().into_bytes();
        order.push(0);
        self.orders.write_all(&order).expect("the browser takes orders");
        loop {
            let answer = self.answers.recv_timeout(PATIENCE);
            let answer = answer.unwrap_or_else(|why| panic!("{method}: {why}"));
            // All others are events.
            if answer["id"] == json!(self.number) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }
}

fn listen(answers: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let message = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let Some(message) = message else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}
