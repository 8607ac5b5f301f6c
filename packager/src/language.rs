//! Languages as manifests write them: BCP 47, the shortest code for a language. Containers carry
//! the three letters of ISO 639-2, which BCP 47 forbids where two letters exist.

/// A track of unknown language (ISO 639-2). Apple's authoring rules want LANGUAGE always there.
const UNKNOWN: &str = "und";
/// Longest tag that is passed on (RFC 5646, clause 4.4.1).
const TAG_CHARS_MAX: usize = 35;

/// The tag for a track.
pub fn tag(language: Option<&str>) -> String {
    let language = language.unwrap_or(UNKNOWN).trim();
    let is_tag = !language.is_empty()
        && language.len() <= TAG_CHARS_MAX
        && language
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_tag {
        return UNKNOWN.to_owned();
    }
    let (primary, rest) = language.split_once('-').map_or((language, None), |(primary, rest)| (primary, Some(rest)));
    let primary = primary.to_ascii_lowercase();
    let short = shorten(&primary).unwrap_or(&primary);
    rest.map_or_else(|| short.to_owned(), |rest| format!("{short}-{rest}"))
}

/// The two letters of a three-letter code, bibliographic or terminologic.
fn shorten(code: &str) -> Option<&'static str> {
    if code.len() != 3 {
        return None;
    }
    TWO_LETTERS.split_ascii_whitespace().find_map(|pair| pair.strip_prefix(code)?.strip_prefix('='))
}

/// ISO 639-2 to ISO 639-1, both forms where they differ.
const TWO_LETTERS: &str = "
aar=aa abk=ab afr=af aka=ak alb=sq amh=am ara=ar arg=an arm=hy asm=as ava=av ave=ae aym=ay aze=az bak=ba bam=bm
baq=eu bel=be ben=bn bis=bi bod=bo bos=bs bre=br bul=bg bur=my cat=ca ces=cs cha=ch che=ce chi=zh chu=cu chv=cv
cor=kw cos=co cre=cr cym=cy cze=cs dan=da deu=de div=dv dut=nl dzo=dz ell=el eng=en epo=eo est=et eus=eu ewe=ee
fao=fo fas=fa fij=fj fin=fi fra=fr fre=fr fry=fy ful=ff geo=ka ger=de gla=gd gle=ga glg=gl glv=gv gre=el grn=gn
guj=gu hat=ht hau=ha heb=he her=hz hin=hi hmo=ho hrv=hr hun=hu hye=hy ibo=ig ice=is ido=io iii=ii iku=iu ile=ie
ina=ia ind=id ipk=ik isl=is ita=it jav=jv jpn=ja kal=kl kan=kn kas=ks kat=ka kau=kr kaz=kk khm=km kik=ki kin=rw
kir=ky kom=kv kon=kg kor=ko kua=kj kur=ku lao=lo lat=la lav=lv lim=li lin=ln lit=lt ltz=lb lub=lu lug=lg mac=mk
mah=mh mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg mlt=mt mon=mn mri=mi msa=ms mya=my nau=na nav=nv nbl=nr nde=nd
ndo=ng nep=ne nld=nl nno=nn nob=nb nor=no nya=ny oci=oc oji=oj ori=or orm=om oss=os pan=pa per=fa pli=pi pol=pl
por=pt pus=ps que=qu roh=rm ron=ro rum=ro run=rn rus=ru sag=sg san=sa sin=si slk=sk slo=sk slv=sl sme=se smo=sm
sna=sn snd=sd som=so sot=st spa=es sqi=sq srd=sc srp=sr ssw=ss sun=su swa=sw swe=sv tah=ty tam=ta tat=tt tel=te
tgk=tg tgl=tl tha=th tib=bo tir=ti ton=to tsn=tn tso=ts tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur uzb=uz ven=ve
vie=vi vol=vo wel=cy wln=wa wol=wo xho=xh yid=yi yor=yo zha=za zho=zh zul=zu";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_and_safe() {
        for (given, tagged) in [
            (Some("eng"), "en"),
            (Some("nor"), "no"),
            (Some("fre"), "fr"),
            (Some("FRA"), "fr"),
            (Some("en-GB"), "en-GB"),
            (Some("eng-US"), "en-US"),
            (Some("sma"), "sma"),
            (Some("no"), "no"),
            (Some("und"), "und"),
            (None, "und"),
            (Some(""), "und"),
            (Some("e\"n"), "und"),
            (Some("norwegian bokmal"), "und"),
        ] {
            assert_eq!(tag(given), tagged, "{given:?}");
        }
    }
}
