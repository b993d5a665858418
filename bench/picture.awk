# From lines `CASE<tab>MICROSECONDS<tab>NAME` in the order in which they are drawn: one
# bar a case, as an SVG.
BEGIN {
  FS = "\t"
  split("#4269d0 #efb118 #ff725c #6cc5b0 #3ca951 #ff8ab7 #a463f2 #97bbf5 #9c6b4e #9498a0 #2f4b7c #d45087 #665191 #c0c0c0", colours, " ")
}
{
  if (!($1 in row)) { row[$1] = ++rows; title[rows] = $1 }
  if (!($3 in place)) { place[$3] = ++names; name[names] = $3 }
  value[row[$1], place[$3]] = $2
  total[row[$1]] += $2
  if (total[row[$1]] > longest) longest = total[row[$1]]
}
END {
  width = 860; left = 110; scale = (width - left - 90) / longest
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, 20 + rows * 46 + int((names + 2) / 3) * 20
  print "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
  for (r = 1; r <= rows; r++) {
    y = 10 + (r - 1) * 46; x = left
    printf "<text x=\"8\" y=\"%d\">%s</text>\n", y + 20, title[r]
    for (n = 1; n <= names; n++) {
      if (!value[r, n]) continue
      w = value[r, n] * scale
      printf "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"30\" fill=\"%s\"><title>%s: %.0f µs</title></rect>\n", x, y, w, colours[n], name[n], value[r, n]
      if (w > 24) printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#ffffff\">%.0f</text>\n", x + w / 2, y + 20, value[r, n]
      x += w
    }
    printf "<text x=\"%.1f\" y=\"%d\">%.0f µs</text>\n", x + 6, y + 20, total[r]
  }
  for (n = 1; n <= names; n++) {
    x = 8 + (n - 1) % 3 * 285; y = 10 + rows * 46 + int((n - 1) / 3) * 20
    printf "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", x, y, colours[n], x + 18, y + 11, name[n]
  }
  print "</svg>"
}
