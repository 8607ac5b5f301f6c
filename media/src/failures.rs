//! From how ffmpeg ended to whose fault it was. Pure.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use framemill_schemas::failure::{Class, Failure};

/// Something ffmpeg says, and what it means. The first that is found decides; causes that only
/// this machine has come before those a source can have.
struct Sign {
    says: &'static str,
    class: Class,
    code: &'static str,
    reason: &'static str,
    mend: Option<&'static str>,
}

const fn sign(
    says: &'static str,
    class: Class,
    code: &'static str,
    reason: &'static str,
    mend: Option<&'static str>,
) -> Sign {
    Sign { says, class, code, reason, mend }
}

/// What to do about a driver that does not fit.
const DOCTOR: Option<&str> = Some("run framemill doctor on the node: it names the driver and what does not fit");

const SIGNS: &[Sign] = &[
    // GPUs first: the same words may end in "Cannot allocate memory".
    sign(
        "OpenEncodeSessionEx failed: unsupported device",
        Class::Resource,
        "no-encoder",
        "this GPU has no encoder",
        DOCTOR,
    ),
    sign(
        "required nvenc API version",
        Class::Resource,
        "driver-mismatch",
        "the NVIDIA driver is older than this ffmpeg needs",
        DOCTOR,
    ),
    sign(
        "Cannot load libnvidia-encode",
        Class::Resource,
        "driver-missing",
        "the NVIDIA encoder library is missing",
        DOCTOR,
    ),
    sign("Cannot load libcuda", Class::Resource, "driver-missing", "the NVIDIA driver is missing", DOCTOR),
    sign("CUDA_ERROR_NO_DEVICE", Class::Resource, "gpu-missing", "there is no NVIDIA GPU any more", DOCTOR),
    sign("No CUDA capable devices found", Class::Resource, "gpu-missing", "there is no NVIDIA GPU any more", DOCTOR),
    sign(
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        Class::Resource,
        "driver-mismatch",
        "driver and kernel module differ",
        DOCTOR,
    ),
    sign(
        "OpenEncodeSessionEx failed: out of memory",
        Class::Resource,
        "encoder-sessions",
        "the GPU opens no more encode sessions",
        None,
    ),
    // What newer drivers say of the same.
    sign(
        "OpenEncodeSessionEx failed: incompatible client key",
        Class::Resource,
        "encoder-sessions",
        "the GPU opens no more encode sessions",
        None,
    ),
    sign("CUDA_ERROR_OUT_OF_MEMORY", Class::Resource, "video-memory", "the GPU has no memory left", None),
    sign("Failed creating CUDA context", Class::Resource, "video-memory", "the GPU has no memory left", None),
    sign(
        "doesn't support required NVENC features",
        Class::Resource,
        "encoder-lacks",
        "the GPU's encoder does not do what the ladder asks for",
        Some("set b_frames: 0 and b_ref: disabled for it, or take another GPU"),
    ),
    sign("OpenEncodeSessionEx failed", Class::Resource, "no-encoder", "the GPU's encoder cannot be opened", DOCTOR),
    sign("No capable devices found", Class::Resource, "no-encoder", "no GPU here encodes this", DOCTOR),
    sign("CUDA_ERROR_", Class::Resource, "gpu-broke", "the GPU broke off", None),
    sign("EncodePicture failed", Class::Resource, "gpu-broke", "the GPU's encoder broke off", None),
    sign("Cannot allocate memory", Class::Resource, "out-of-memory", "ffmpeg ran out of memory", None),
    sign("No space left on device", Class::Resource, "disk-full", "ffmpeg found no room on a disk", None),
    sign(
        "Unknown encoder",
        Class::Resource,
        "encoder-missing",
        "this node's ffmpeg has no such encoder",
        Some("install a full build of ffmpeg on every node"),
    ),
    sign("Unrecognized option", Class::Bug, "ffmpeg-usage", "ffmpeg does not know an option it was given", None),
    sign("Error setting option", Class::Bug, "ffmpeg-usage", "ffmpeg refuses the value of an option", None),
    sign("Option not found", Class::Bug, "ffmpeg-usage", "ffmpeg does not know an option it was given", None),
    sign("No such filter", Class::Bug, "ffmpeg-usage", "ffmpeg does not have a filter that is needed", None),
    sign("Connection refused", Class::Transient, "source-unreachable", "the source could not be read", None),
    sign("Connection reset", Class::Transient, "source-unreachable", "reading the source was cut off", None),
    sign("Stream ends prematurely", Class::Transient, "source-unreachable", "reading the source was cut off", None),
    sign("Server returned 5", Class::Transient, "source-unreachable", "the source could not be read", None),
    sign("Server returned 4", Class::Transient, "source-unreachable", "the source could not be read", None),
    sign("Input/output error", Class::Transient, "source-unreachable", "the source could not be read", None),
    sign(
        "partial file",
        Class::Input,
        "source-truncated",
        "the source is cut short: its index names more media than it holds",
        Some("upload the whole file again"),
    ),
    sign(
        "Decoder not found",
        Class::Input,
        "codec-not-taken",
        "the source's codec cannot be decoded",
        Some("convert it to a common codec first"),
    ),
    sign(
        "no decoder found",
        Class::Input,
        "codec-not-taken",
        "the source's codec cannot be decoded",
        Some("convert it to a common codec first"),
    ),
    sign(
        "Invalid data found when processing input",
        Class::Input,
        "source-damaged",
        "the source holds data that cannot be decoded",
        Some("check that it plays, and upload it again"),
    ),
];

/// Why an ffmpeg that did not end well did so.
pub(crate) fn of_exit(status: ExitStatus, stderr: &str) -> Failure {
    if let Some(signal) = status.signal() {
        let reason = format!("ffmpeg was ended by signal {signal}");
        let (class, code) =
            if signal == 9 { (Class::Resource, "ffmpeg-killed") } else { (Class::Transient, "ffmpeg-crashed") };
        return Failure::new(class, code, reason).evidence(stderr);
    }
    let failure = match SIGNS.iter().find(|sign| stderr.contains(sign.says)) {
        Some(sign) => sign.failure(),
        None => Failure::new(
            Class::Transient,
            "ffmpeg-failed",
            format!("ffmpeg gave up with exit code {}", status.code().unwrap_or_default()),
        ),
    };
    failure.evidence(stderr)
}

impl Sign {
    fn failure(&self) -> Failure {
        let failure = Failure::new(self.class, self.code, self.reason);
        if let Some(mend) = self.mend { failure.mend(mend) } else { failure }
    }
}

/// What a text of ffmpeg that gave up means.
pub fn failure_of(stderr: &str) -> Failure {
    const GAVE_UP: i32 = 1 << 8;
    of_exit(ExitStatus::from_raw(GAVE_UP), stderr)
}

/// What ffmpeg says of trouble that is not the source's: it reads on after a broken connection, and
/// exits as if all were well.
pub(crate) fn trouble(stderr: &str) -> Option<Failure> {
    let ours = |sign: &&Sign| matches!(sign.class, Class::Transient | Class::Resource);
    let found = SIGNS.iter().filter(ours).find(|sign| stderr.contains(sign.says));
    found.map(|sign| sign.failure().evidence(stderr))
}

/// A run that ended well, but before its plan did. The plan was made from every packet of the
/// source, and whether its bytes all came, the source's reader knows: without a word about the
/// source it is the run that is suspected, until another one ends the same way.
pub(crate) fn short(done: u64, planned: u64, what: &str, stderr: &str) -> Failure {
    let sources = |sign: &&Sign| sign.class == Class::Input && stderr.contains(sign.says);
    let found = trouble(stderr).or_else(|| SIGNS.iter().find(sources).map(Sign::failure));
    let reason = format!("ffmpeg ended as if all were well, after {done} of {planned} {what}");
    found.unwrap_or_else(|| Failure::new(Class::Transient, "ffmpeg-short", reason)).evidence(stderr)
}

/// Takes the source's address, which is a secret of this process, out of what ffmpeg said.
pub(crate) fn redact(mut failure: Failure, url: &str) -> Failure {
    const SHOWN: &str = "<source>";
    if !url.is_empty() {
        failure.reason = failure.reason.replace(url, SHOWN);
        failure.evidence = failure.evidence.map(|text| text.replace(url, SHOWN));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_class() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        for (stderr, class, code) in [
            ("[mov] stream 0, offset 0x30: partial file", Class::Input, "source-truncated"),
            ("x: Cannot allocate memory\nInvalid data found when processing input", Class::Resource, "out-of-memory"),
            (
                "[h264_nvenc @ 0x1] OpenEncodeSessionEx failed: out of memory (10): (no details)\nNo capable devices found",
                Class::Resource,
                "encoder-sessions",
            ),
            (
                "OpenEncodeSessionEx failed: unsupported device (2): (no details)\nNo capable devices found",
                Class::Resource,
                "no-encoder",
            ),
            (
                "Failed creating CUDA context for device 0: CUDA_ERROR_OUT_OF_MEMORY: 0x2",
                Class::Resource,
                "video-memory",
            ),
            (
                "Driver does not support the required nvenc API version. Required: 12.1 Found: 11.1",
                Class::Resource,
                "driver-mismatch",
            ),
            ("Provided device doesn't support required NVENC features", Class::Resource, "encoder-lacks"),
            ("cuvid: cuCtxSynchronize failed -> CUDA_ERROR_ILLEGAL_ADDRESS", Class::Resource, "gpu-broke"),
            ("Cannot load libnvidia-encode.so.1", Class::Resource, "driver-missing"),
            ("Unknown encoder 'libx265'", Class::Resource, "encoder-missing"),
            ("Unrecognized option 'foo'.", Class::Bug, "ffmpeg-usage"),
            ("http://h/x: Server returned 404 Not Found", Class::Transient, "source-unreachable"),
            ("what?", Class::Transient, "ffmpeg-failed"),
        ] {
            let failure = of_exit(exit(1), stderr);
            assert_eq!((failure.class, failure.code.as_str()), (class, code), "{stderr}");
        }
        for (stderr, class, code) in [
            ("", Class::Transient, "ffmpeg-short"),
            ("[mov] stream 0, offset 0x30: partial file", Class::Input, "source-truncated"),
            ("Stream ends prematurely\npartial file", Class::Transient, "source-unreachable"),
        ] {
            let failure = short(9, 10, "frames", stderr);
            assert_eq!((failure.class, failure.code.as_str()), (class, code), "{stderr}");
        }
        assert_eq!(of_exit(ExitStatus::from_raw(9), "").code, "ffmpeg-killed");
        assert_eq!(of_exit(ExitStatus::from_raw(11), "").code, "ffmpeg-crashed");
    }

    #[test]
    fn the_address_of_a_source_never_leaves() {
        let url = "http://127.0.0.1:4711/secret";
        let failure = redact(of_exit(ExitStatus::from_raw(256), &format!("{url}: what?")), url);
        assert_eq!(failure.evidence.as_deref(), Some("<source>: what?"));
    }
}
