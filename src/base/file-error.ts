/** Failures of the host's file system as errors of one line. */
import { NearfieldError } from './error.ts';

/** A system error about `path`; errors of ours pass unchanged. */
export function fileError(path: string, error: unknown): NearfieldError {
  if (error instanceof NearfieldError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new NearfieldError('not-found', `No file at ${path}; check the path`, { cause: error });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new NearfieldError('io', `No permission for ${path} (${code}); check its access rights`, {
      cause: error,
    });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new NearfieldError('io', `No space left on the disk of ${path}`, { cause: error });
  return new NearfieldError('io', `The system refused ${path} (${code})`, { cause: error });
}
