/** The bundler gives an SVG file's text. */
declare module '*.svg' {
  const text: string;
  export default text;
}
