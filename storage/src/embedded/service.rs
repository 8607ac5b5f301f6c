//! The operations that the embedded store has. Everything else answers "not implemented".

use std::{io, sync::Arc};

use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};

use super::{
    commit::{self, Written},
    fault,
    folder::{Folder, Place, sync_folder},
    multipart, names, reading,
    walk::{self, Query},
    writing,
};

/// Most entries of a page (the limit of S3).
const PAGE_ENTRIES_MAX: i32 = 1000;

/// S3 over a folder.
#[derive(Debug)]
pub struct EmbeddedStore {
    folder: Arc<Folder>,
}

impl EmbeddedStore {
    /// Takes an open folder.
    pub fn new(folder: Arc<Folder>) -> Self {
        Self { folder }
    }
}

/// Runs file operations where they may block.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| s3_error!(error, InternalError, "the operation was cut off"))?
        .map_err(fault::io)
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for EmbeddedStore {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let path = self.folder.bucket(&req.input.bucket)?;
        let buckets = self.folder.buckets().to_owned();
        let made = blocking(move || match std::fs::create_dir(&path) {
            Ok(()) => sync_folder(&buckets).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
        .await?;
        if !made {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "the bucket is there already"));
        }
        answer(CreateBucketOutput { location: Some(format!("/{}", req.input.bucket)) })
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let path = self.folder.existing_bucket(&req.input.bucket)?;
        let folder = Arc::clone(&self.folder);
        let gone = blocking(move || {
            let _tree = folder.tree.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            if walk::holds_object(&path)? {
                return Ok(false);
            }
            std::fs::remove_dir_all(&path)?;
            sync_folder(folder.buckets()).map(|()| true)
        })
        .await?;
        if !gone {
            return Err(s3_error!(BucketNotEmpty, "the bucket is not empty"));
        }
        answer(DeleteBucketOutput {})
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.folder.existing_bucket(&req.input.bucket)?;
        answer(HeadBucketOutput::default())
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.folder.existing_bucket(&req.input.bucket)?;
        answer(GetBucketLocationOutput::default())
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let path = self.folder.buckets().to_owned();
        let mut buckets = blocking(move || {
            std::fs::read_dir(path)?
                .map(|entry| {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let made = Timestamp::from(entry.metadata()?.modified()?);
                    Ok(Bucket { name: Some(name), creation_date: Some(made), ..Default::default() })
                })
                .collect::<io::Result<Vec<Bucket>>>()
        })
        .await?;
        buckets.sort_by(|a, b| a.name.cmp(&b.name));
        answer(ListBucketsOutput { buckets: Some(buckets), ..Default::default() })
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let marker = req.input.marker.clone();
        let listed = self.list_objects_v2(req.map_input(Into::into)).await?;
        Ok(listed.map_output(|v2| ListObjectsOutput {
            contents: v2.contents,
            common_prefixes: v2.common_prefixes,
            delimiter: v2.delimiter,
            encoding_type: v2.encoding_type,
            name: v2.name,
            prefix: v2.prefix,
            max_keys: v2.max_keys,
            is_truncated: v2.is_truncated,
            marker,
            next_marker: v2.next_continuation_token,
            ..Default::default()
        }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let bucket = self.folder.existing_bucket(&input.bucket)?;
        let limit = input.max_keys.unwrap_or(PAGE_ENTRIES_MAX).clamp(0, PAGE_ENTRIES_MAX);
        let start = input.start_after.clone().unwrap_or_default();
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            after: input.continuation_token.clone().unwrap_or_default().max(start),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let page = blocking(move || walk::list(&bucket, &query)).await?;
        let encodes = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
        let shown = |text: String| if encodes { names::url_encode(&text) } else { text };
        let count = i32::try_from(page.objects.len() + page.prefixes.len()).unwrap_or(PAGE_ENTRIES_MAX);
        let contents = page.objects.into_iter().map(|entry| Object {
            key: Some(shown(entry.key)),
            size: i64::try_from(entry.bytes).ok(),
            e_tag: Some(ETag::Strong(entry.etag)),
            last_modified: Some(Timestamp::from(entry.modified)),
            ..Default::default()
        });
        let prefixes = page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(shown(prefix)) });
        answer(ListObjectsV2Output {
            key_count: Some(count),
            max_keys: Some(limit),
            is_truncated: Some(page.next.is_some()),
            contents: Some(contents.collect()),
            common_prefixes: Some(prefixes.collect()),
            continuation_token: input.continuation_token,
            next_continuation_token: page.next,
            delimiter: input.delimiter.map(shown),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            prefix: input.prefix.map(shown),
            start_after: input.start_after.map(shown),
            ..Default::default()
        })
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        reading::get(&self.folder, req.input).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        reading::head(&self.folder, req.input).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        writing::put(&self.folder, req).await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        writing::copy(&self.folder, req.input).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let place = self.folder.place(&req.input.bucket, &req.input.key)?;
        let folder = Arc::clone(&self.folder);
        let done = blocking(move || {
            let done = commit::delete(&folder, &place, req.input.if_match.as_ref())?;
            commit::settle(&folder, &[place])?;
            Ok(done)
        })
        .await?;
        match done {
            Written::Unmet => Err(fault::unmet()),
            Written::Done | Written::Missing => answer(DeleteObjectOutput::default()),
        }
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = req.input.bucket;
        let keys = req.input.delete.objects;
        if i32::try_from(keys.len()).is_ok_and(|keys| keys > PAGE_ENTRIES_MAX) {
            return Err(s3_error!(MalformedXML, "at most 1000 objects are deleted at once"));
        }
        let places =
            keys.iter().map(|object| self.folder.place(&bucket, &object.key)).collect::<S3Result<Vec<Place>>>()?;
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            for place in &places {
                commit::delete(&folder, place, None)?;
            }
            commit::settle(&folder, &places)
        })
        .await?;
        let quiet = req.input.delete.quiet.unwrap_or(false);
        let deleted = keys.into_iter().map(|object| DeletedObject { key: Some(object.key), ..Default::default() });
        answer(DeleteObjectsOutput { deleted: (!quiet).then(|| deleted.collect()), ..Default::default() })
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        multipart::create(&self.folder, req.input).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        multipart::upload(&self.folder, req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        multipart::complete(&self.folder, req.input).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        multipart::abort(&self.folder, req.input).await
    }
}
