/** A text, a code that stands out, or a link. */
export type Paragraph = string | { readonly code: string } | { readonly button: string; readonly url: string };

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A text as HTML, between tags or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

/** A page that screen readers and old mail programs understand: a language, a title, one heading, text that grows. */
export function htmlPage(title: string, paragraphs: readonly Paragraph[]): string {
  const heading = escapeHtml(title);
  return `<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>${heading}</title>
</head>
<body style="font-family: sans-serif; font-size: 1em; line-height: 1.5; max-width: 36em; margin: 0 auto; padding: 1em">
<h1 style="font-size: 1.4em">${heading}</h1>
${paragraphs.map(paragraph).join('\n')}
</body>
</html>
`;
}

function paragraph(one: Paragraph): string {
  if (typeof one === 'string') return `<p>${escapeHtml(one)}</p>`;
  if ('code' in one)
    return `<p style="font-size: 1.6em; letter-spacing: 0.1em"><strong>${escapeHtml(one.code)}</strong></p>`;
  const url = escapeHtml(one.url);
  // The address too: whoever wants to know where a link leads can read it, and copy it.
  return `<p><a href="${url}"><strong>${escapeHtml(one.button)}</strong></a></p>\n<p>${url}</p>`;
}
