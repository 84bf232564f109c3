//! Lints about what a region does not offer.

use super::subject::{Found, Subject};
use super::{Level, Lint, scripts};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "service-not-offered",
        rules: &[27],
        level: Level::Warning,
        line: "A service is to be used in a region that does not offer it",
        why: "Not every service is in every region. Comprehend Medical is offered in eu-west-1 and eu-west-2, and not in \
              eu-central-1 or af-south-1; there is no endpoint to ask, so every call fails from the first minute on. Where such a \
              service is needed, the plan names the region that it stays in.\n\nA text that names a region which has the service \
              is taken to say just that.",
        wrong: "- Comprehend Medical answers in eu-central-1",
        right: "- Comprehend Medical stays in eu-west-1; the call from Frankfurt names that region",
        check: Some(not_offered),
    },
    Lint {
        name: "medical-transcription",
        rules: &[27],
        level: Level::Warning,
        line: "Transcribe Medical is asked for what it does not do",
        why: "Transcribe Medical knows US English only (`en-US`); a job in any other language is refused. It has a table of \
              endpoints of its own, shorter than that of Transcribe: that Transcribe answers in a region says nothing about \
              it. German and Swahili need the general Transcribe, which has no medical vocabulary, so what doctors see \
              changes with it. `check --live` asks what the region offers.",
        wrong: "shell:\n  run: aws transcribe start-medical-transcription-job --language-code de-DE --region eu-central-1 ...",
        right: "shell:\n  run: aws transcribe start-transcription-job --language-code de-DE --region eu-central-1 ...",
        check: Some(medical_transcription),
    },
];

/// A service that a script asks by the AWS CLI: its command, and regions that do not have it.
const COMMANDS: [(&str, &[&str]); 3] = [
    ("comprehendmedical", &["eu-central-1", "af-south-1"]),
    // Media of a meeting may be in eu-west-1; who creates and updates it has to ask elsewhere.
    ("chime-sdk-meetings", &["eu-west-1"]),
    ("chime-sdk-media-pipelines", &["eu-west-1", "af-south-1"]),
];

/// A service: what it is called, and the regions that have it. Others are not known to have it.
pub struct Service {
    /// What people call it.
    pub name: &'static str,
    /// The regions that offer it.
    pub offered: &'static [&'static str],
    /// Regions that certainly do not.
    pub absent: &'static [&'static str],
}

/// Services that a region of a European migration may lack (rule 27).
pub const SERVICES: [Service; 1] = [Service {
    name: "Comprehend Medical",
    offered: &["eu-west-1", "eu-west-2", "us-east-1", "us-east-2", "us-west-2", "ca-central-1", "ap-southeast-2"],
    absent: &["eu-central-1", "af-south-1"],
}];

fn not_offered(of: &Subject<'_>, found: &mut Found) {
    for used in scripts::all(of) {
        for command in scripts::commands(&used.script.text) {
            let Some(region) = command.option("--region").map(|region| scripts::filled(region, used.script)) else { continue };
            let lacks =
                |(service, absent): &&(&str, &[&str])| command.has(&["aws", service]) && absent.contains(&region.as_str());
            if let Some((service, _)) = COMMANDS.iter().find(lacks) {
                let message = format!("`{service}` has no endpoint in {region}");
                scripts::tell(found, &used, &command, message, "name a region that offers it");
            }
        }
    }
    for (step, _) in of.every_step() {
        for (text, spot) in of.words(step) {
            for service in &SERVICES {
                if !text.to_lowercase().contains(&service.name.to_lowercase()) {
                    continue;
                }
                let named = |region: &str| text.contains(region) || text.contains(of.plan.region_label(region));
                let absent = service.absent.iter().find(|region| named(region));
                if let Some(region) = absent
                    && !service.offered.iter().any(|region| named(region))
                {
                    let message = format!("{} is not offered in {region}", service.name);
                    found.at(spot, message, format!("name the region that it stays in, such as {}", service.offered[0]));
                }
            }
        }
    }
}

/// Regions with an endpoint of Transcribe Medical. Of others it is not known (rule 27).
const MEDICAL: [&str; 7] = ["eu-west-1", "eu-west-2", "us-east-1", "us-east-2", "us-west-2", "ca-central-1", "ap-southeast-2"];

fn medical_transcription(of: &Subject<'_>, found: &mut Found) {
    for used in scripts::all(of) {
        for command in scripts::commands(&used.script.text) {
            if !command.has(&["transcribe", "start-medical-transcription-job"]) {
                continue;
            }
            let option = |name: &str| command.option(name).map(|word| scripts::filled(word, used.script));
            let language = option("--language-code").filter(|code| code != "en-US" && !code.contains('$'));
            let region = option("--region").filter(|region| !MEDICAL.contains(&region.as_str()) && !region.contains('$'));
            let told = match (language, region) {
                (Some(code), _) => {
                    (format!("Transcribe Medical does not know `{code}`, only `en-US`"), "use the general Transcribe")
                }
                (None, Some(region)) => {
                    let message = format!("whether Transcribe Medical has an endpoint in {region} is not known");
                    (message, "name a region that has one, such as eu-west-1, or prove it before")
                }
                (None, None) => continue,
            };
            scripts::tell(found, &used, &command, told.0, told.1);
        }
    }
}
