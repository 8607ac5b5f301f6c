//! Whose the objects are that a tag names, and where they lie in the store. Pure.

use framemill_schemas::{
    delivery::tags_of,
    ids::{AssetId, ChannelId, Tenant},
    live::live_place,
    object::place,
};

/// Whose objects a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A tenant's.
    Tenant(Tenant),
    /// A title's: whose that is its record says.
    Asset(AssetId),
}

/// Takes a tag; returns whose objects it names, or nothing for one that no object of this farm ever has.
pub(crate) fn owner_of(tag: &str) -> Option<Owner> {
    let (kind, rest) = tag.split_once(':')?;
    let parts: Vec<&str> = rest.split('/').collect();
    match (kind, parts.as_slice()) {
        ("tenant", [tenant]) => Some(Owner::Tenant(tenant.parse().ok()?)),
        ("channel", [tenant, channel]) => of_channel(tenant, channel, None),
        ("timeline", [tenant, channel, timeline]) => of_channel(tenant, channel, Some(timeline)),
        ("asset", [asset]) => Some(Owner::Asset(asset.parse().ok()?)),
        ("generation", [asset, generation]) => of_asset(asset, generation),
        ("rendition", [asset, generation, name]) if !name.is_empty() => of_asset(asset, generation),
        ("rendition", [tenant, channel, timeline, name]) if !name.is_empty() => {
            of_channel(tenant, channel, Some(timeline))
        }
        ("object", _) => {
            let live = || live_place(rest).map(|place| place.tenant);
            let tenant = place(rest).map(|place| place.tenant).or_else(live)?;
            (!tags_of(rest).is_empty()).then_some(Owner::Tenant(tenant))
        }
        _ => None,
    }
}

fn of_channel(tenant: &str, channel: &str, timeline: Option<&str>) -> Option<Owner> {
    let (tenant, channel): (Tenant, ChannelId) = (tenant.parse().ok()?, channel.parse().ok()?);
    // Names of objects are read in one place alone.
    let read = |folder| live_place(&format!("live/{tenant}/{channel}/{folder}/x")).and_then(|place| place.timeline);
    if timeline.is_some_and(|folder| read(folder).is_none()) {
        return None;
    }
    Some(Owner::Tenant(tenant))
}

fn of_asset(asset: &str, generation: &str) -> Option<Owner> {
    let asset: AssetId = asset.parse().ok()?;
    let tenant = Tenant::default_tenant();
    place(&format!("vod/{tenant}/{asset}/{generation}/x")).and_then(|place| place.generation)?;
    Some(Owner::Asset(asset))
}

/// Takes a tag and the tenant whose it is; returns the prefixes that all keys of objects with that tag begin with.
/// What they list may hold more than that: `tags_of` says which have it.
pub(crate) fn prefix_of(tag: &str, tenant: &Tenant) -> Vec<String> {
    let Some((kind, rest)) = tag.split_once(':') else { return Vec::new() };
    let title = |asset: &str| format!("vod/{tenant}/{asset}/");
    match (kind, rest.split('/').collect::<Vec<_>>().as_slice()) {
        ("tenant", [tenant]) => vec![format!("live/{tenant}/"), format!("vod/{tenant}/")],
        ("channel", _) => vec![format!("live/{rest}/")],
        ("asset", [asset]) => vec![title(asset)],
        // Its entry manifests lie beside its folder.
        ("generation", [asset, generation]) => vec![format!("{}{generation}", title(asset))],
        ("rendition", [asset, generation, name]) => vec![format!("{}{generation}/{name}/", title(asset))],
        ("timeline" | "rendition", _) => vec![format!("live/{rest}/")],
        ("object", _) => vec![rest.to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use framemill_schemas::object::{Generation, generation_folder};

    use super::*;

    const ASSET: &str = "0198c0de-0000-7000-8000-000000000000";

    #[test]
    fn every_tag_of_an_object_has_its_owner_and_a_prefix() {
        let (tenant, asset): (Tenant, AssetId) = ("acme".parse().unwrap(), ASSET.parse().unwrap());
        let folder = generation_folder(&tenant, asset, &Generation { number: 2, random: "00c0ffee".to_owned() });
        for key in [
            "live/acme/news/master.m3u8".to_owned(),
            "live/acme/news/t3-00c0ffee/720p/7.m4s".to_owned(),
            format!("vod/acme/{ASSET}/master.m3u8"),
            format!("{folder}/720p/7.m4s"),
            format!("{folder}.m3u8"),
        ] {
            for tag in tags_of(&key) {
                let owner = owner_of(&tag).unwrap_or_else(|| panic!("{tag} is nobody's"));
                assert!(owner == Owner::Tenant(tenant.clone()) || owner == Owner::Asset(asset), "{tag}");
                let prefixes = prefix_of(&tag, &tenant);
                assert!(prefixes.iter().any(|prefix| key.starts_with(prefix)), "{tag}: {prefixes:?}");
            }
        }
    }

    #[test]
    fn what_names_no_object_is_nobodys() {
        for tag in [
            "tenant:acme/x",
            "tenant:Acme",
            "channel:acme",
            "channel:acme/news/x",
            "timeline:acme/news/3",
            "timeline:acme/news/x3-1",
            "asset:film",
            "generation:film/g1-00c0ffee",
            &format!("generation:{ASSET}"),
            &format!("generation:{ASSET}/x"),
            &format!("rendition:{ASSET}/g1-00c0ffee"),
            &format!("rendition:{ASSET}/g1-00c0ffee/"),
            "object:live/acme",
            "object:uploads/acme/x",
            "object:vod/acme/film/master.m3u8",
        ] {
            assert_eq!(owner_of(tag), None, "{tag}");
        }
    }
}
