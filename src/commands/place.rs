//! Where this machine is: an engine in a region of its plan goes down with that region, and its journal with it.

use crate::aws::metadata_region;
use crate::plan::Plan;

/// The file in which the board of a machine names itself; an instance of EC2's says its id.
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// What can be told without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A service of AWS runs this process, and says in which region.
    Region(String),
    /// An instance of EC2's: the metadata service knows.
    AskMetadata,
    /// Nothing says that it is in a region.
    Elsewhere,
}

/// What environment and asset tag say.
#[must_use]
pub fn place(env: &dyn Fn(&str) -> Option<String>, asset_tag: Option<&str>) -> Place {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    // ECS and Fargate, Lambda, CloudShell, CodeBuild, App Runner: each sets one of these beside the region. The region
    // alone says nothing: people set it on their own machines.
    let service = ["AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4", "AWS_LAMBDA_FUNCTION_NAME", "CODEBUILD_BUILD_ID"];
    if service.iter().any(|name| env(name).is_some())
        && let Some(region) = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"))
    {
        return Place::Region(region);
    }
    let disabled = env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !disabled && asset_tag.is_some_and(|tag| tag.starts_with("i-")) { Place::AskMetadata } else { Place::Elsewhere }
}

/// Why this machine is a bad place for the engine of a plan, if it is one. It takes a second at most.
pub async fn warning(plan: &Plan) -> Option<String> {
    let tag = std::fs::read_to_string(ASSET_TAG).ok();
    let region = match place(&|name| std::env::var(name).ok(), tag.as_deref()) {
        Place::Region(region) => Some(region),
        Place::AskMetadata => metadata_region(None).await,
        Place::Elsewhere => None,
    };
    said(plan, &region?)
}

/// The warning for a machine in this region.
fn said(plan: &Plan, region: &str) -> Option<String> {
    plan.regions.iter().any(|of_plan| of_plan.name == region).then(|| {
        format!(
            "engine-in-region: this machine is in {region}, a region of the plan: what takes that region down takes the \
             engine and its journal with it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)], tag: Option<&str>) -> Place {
        let env = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        place(&env, tag)
    }

    #[test]
    fn services_name_their_region_and_people_name_the_one_they_work_with() {
        let region = |name: &str| Place::Region(name.into());
        let fargate = ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE");
        assert_eq!(of(&[fargate, ("AWS_REGION", "eu-west-1")], None), region("eu-west-1"));
        let lambda = ("AWS_LAMBDA_FUNCTION_NAME", "drill");
        assert_eq!(of(&[lambda, ("AWS_DEFAULT_REGION", "eu-central-1")], None), region("eu-central-1"));
        assert_eq!(of(&[("AWS_REGION", "eu-west-1")], None), Place::Elsewhere);
        assert_eq!(of(&[fargate], None), Place::Elsewhere);
        assert_eq!(of(&[fargate, ("AWS_REGION", "")], Some("i-0abc\n")), Place::AskMetadata);
        assert_eq!(of(&[("AWS_REGION", "eu-west-1")], Some("i-0abc\n")), Place::AskMetadata);
        assert_eq!(of(&[("AWS_EC2_METADATA_DISABLED", "True")], Some("i-0abc\n")), Place::Elsewhere);
        assert_eq!(of(&[], Some("Default string\n")), Place::Elsewhere);
    }

    #[test]
    fn only_a_region_of_the_plan_is_warned_of() {
        let plan = crate::builtin::find("failover-drill").unwrap().plan;
        assert!(said(&plan, "eu-west-1").unwrap().starts_with("engine-in-region: this machine is in eu-west-1"));
        assert_eq!(said(&plan, "us-east-1"), None);
    }
}
