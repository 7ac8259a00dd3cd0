//! Real brokers on this machine, which can be killed and come back, and ports where nobody is at home.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Accepts connections and never says a word.
pub fn mute() -> (TcpListener, u16) {
    // The backlog of the system accepts for us.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The path of a program, also of one that only root has on the path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A child that does not outlive us.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }

    /// One whose standard output is to be read.
    pub fn piped(command: &mut Command) -> Self {
        Self::start(command.stdout(Stdio::piped()).stderr(Stdio::null()))
    }

    /// The lines that it prints.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + Send + 'static {
        let output = BufReader::new(self.0.stdout.take().expect("it is piped"));
        output.lines().map_while(Result::ok)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As if the power had gone.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something listens on a port of this machine.
pub fn wait_for_port(port: u16) {
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Mosquitto.
pub struct Mosquitto {
    pub port: u16,
    folder: tempfile::TempDir,
    process: Option<Process>,
}

impl Mosquitto {
    /// A running broker for everybody.
    pub fn start() -> Self {
        Self::with("allow_anonymous true\n")
    }

    /// A running broker with more in its configuration.
    pub fn with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        // It keeps what it has for those who subscribe for good, like a broker in a plant.
        let text = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence true\npersistence_location {}/\n\
             autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n{configuration}",
            folder.path().display()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { port, folder, process: None };
        broker.come_back();
        broker
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// As if the power had gone.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Everything that it has kept is gone.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("mosquitto.db"));
    }

    /// Stops it in its tracks, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let process = self.process.as_ref().expect("it runs").id();
        let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        // SAFETY: a signal to a child of ours that was not waited for yet.
        assert_eq!(unsafe { libc::kill(process.try_into().unwrap(), signal) }, 0);
    }

    /// Starts again.
    pub fn come_back(&mut self) {
        let program = program("mosquitto").expect("no mosquitto: script/bootstrap --dev installs it");
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_for_port(self.port);
    }
}

/// Somebody who reads a topic; the broker keeps messages for them while they are away.
pub struct Subscriber {
    lines: mpsc::Receiver<String>,
    _process: Process,
}

impl Subscriber {
    /// Subscribes; returns when the broker has confirmed it.
    pub fn new(port: u16, topic: &str, more: &[&str]) -> Self {
        let client = |end: &[&str]| {
            let mut command = Command::new(program("mosquitto_sub").expect("no mosquitto-clients"));
            command
                .args(["-h", "localhost", "-p", &port.to_string(), "-t", topic])
                .args(["-q", "1", "-c", "-i", "reader"]);
            command.args(more).args(end);
            command
        };
        assert!(client(&["-E"]).status().unwrap().success());
        let mut child = client(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, _process: Process(child) }
    }

    /// The next message.
    pub fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("no message comes")
    }

    /// The next message if one comes within `limit`.
    pub fn next_within(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }
}

/// Makes a certificate authority, and a certificate of `localhost` that it signed: `ca.pem`, `server.pem`, `server.key` in `folder`.
pub fn certificates(folder: &Path) {
    signed(
        folder,
        &["x509", "-req", "-days", "2", "-extfile", "names", "-CAkey", "ca.key", "-CAcreateserial"],
    );
}

/// The same with a certificate that was good for the first day of 2020.
pub fn expired_certificates(folder: &Path) {
    let configuration = "[ca]\ndefault_ca=it\n[it]\ndatabase=index\nserial=serial\nnew_certs_dir=.\nprivate_key=ca.key\n\
                         default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n";
    for (name, content) in [("index", ""), ("serial", "01\n"), ("ca.conf", configuration)] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let times = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"];
    let start = ["ca", "-batch", "-config", "ca.conf", "-extfile", "names"];
    signed(folder, &[&start[..], &times].concat());
}

/// Makes an authority, and a certificate that it signs with `sign`.
fn signed(folder: &Path, sign: &[&str]) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    let files = "-in server.csr -out server.pem";
    openssl(&match sign[0] {
        "ca" => format!("{} {files} -cert ca.pem -keyfile ca.key", sign.join(" ")),
        _ => format!("{} {files} -CA ca.pem", sign.join(" ")),
    });
}

/// Tansu, a broker of the Kafka protocol; it keeps everything in memory, so that a killed one comes back empty.
pub struct Tansu {
    port: u16,
    /// Where clients are told to find it.
    advertised: u16,
    program: PathBuf,
    process: Option<Process>,
    tls: Option<Process>,
}

impl Tansu {
    /// A running broker; `None`, with a word on the terminal, where there is none to run.
    pub fn start() -> Option<Self> {
        let port = free_port();
        Self::at(port, port)
    }

    /// One behind TLS, with the [`certificates`] in `folder`: socat ends it, since tansu 0.6 takes no key.
    pub fn secure(folder: &Path) -> Option<Self> {
        let (port, outside) = (free_port(), free_port());
        let mut broker = Self::at(port, outside)?;
        let mut command =
            Command::new(program("socat").expect("no socat: script/bootstrap --dev installs it"));
        command.current_dir(folder).arg(format!(
            "openssl-listen:{outside},bind=127.0.0.1,reuseaddr,fork,cert=server.pem,key=server.key,verify=0"
        ));
        command.arg(format!("tcp:127.0.0.1:{port}")).stderr(Stdio::null());
        broker.tls = Some(Process::start(&mut command));
        wait_for_port(outside);
        Some(broker)
    }

    #[allow(clippy::explicit_write, reason = "the test harness keeps eprintln to itself when a test passes")]
    fn at(port: u16, advertised: u16) -> Option<Self> {
        use std::io::Write;
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/tansu");
        let Some(program) = Some(ours).filter(|file| file.is_file()).or_else(|| program("tansu")) else {
            writeln!(std::io::stderr(), "skipped: no tansu; script/bootstrap --dev fetches it").unwrap();
            return None;
        };
        let mut broker = Self { port, advertised, program, process: None, tls: None };
        broker.come_back();
        Some(broker)
    }

    pub fn address(&self) -> String {
        format!("localhost:{}", self.advertised)
    }

    /// As if the power had gone.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts again.
    pub fn come_back(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["broker", "--storage-engine", "memory://tansu/"])
            .args(["--listener-url", &format!("tcp://127.0.0.1:{}", self.port)])
            .args(["--advertised-listener-url", &format!("tcp://localhost:{}", self.advertised)]);
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_for_port(self.port);
    }

    /// Creates a topic.
    pub fn create(&self, topic: &str, partitions: u32) {
        let broker = format!("tcp://127.0.0.1:{}", self.port);
        let output = Command::new(&self.program)
            .args(["topic", "create", "--broker", &broker, "--partitions", &partitions.to_string(), topic])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
