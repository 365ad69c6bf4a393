declare module "*.css";

declare module "*.wasm" {
  /** Where the bundler put it, relative to the scripts. */
  const file: string;
  export default file;
}

declare module "*/laz-perf.js" {
  interface ChunkDecoder {
    open(format: number, recordBytes: number, packed: number): void;
    getPoint(to: number): void;
    delete(): void;
  }
  interface LazPerf {
    readonly HEAPU8: Uint8Array<ArrayBuffer>;
    readonly ChunkDecoder: new () => ChunkDecoder;
    _malloc(bytes: number): number;
    _free(at: number): void;
  }
  const create: (options: { locateFile: () => string }) => Promise<LazPerf>;
  export default create;
}
