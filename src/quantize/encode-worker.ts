/** The encoding thread's script: one piece after the other, in memory it shares with who sends them. */
import { type ErrorCode, NearfieldError } from '../base/error.ts';
import { workerPort } from '../base/platform.ts';
import { encodePiece, type Piece, type PieceError } from './encode-piece.ts';

export interface EncodeAnswer {
  readonly result?: PieceError;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

const port = workerPort();

port.onMessage((message) => {
  port.post(answer(message as Piece));
});
port.post('ready');

function answer(piece: Piece): EncodeAnswer {
  try {
    return { result: encodePiece(piece) };
  } catch (cause) {
    const code = cause instanceof NearfieldError ? cause.code : 'internal';
    return { error: { code, message: cause instanceof Error ? cause.message : String(cause) } };
  }
}
