# What Ruby makes of Recog databases: the peer of `tests/recog.rs`.
#
# Usage: ruby recog.rb FOLDER. For every example of every database in it, also in capitals, cut at either end and on a
# line of its own, one line of JSON: the file, the text, and the facts of the first fingerprint that matches.
# Source: what the documentation of Recog says of params, flags and interpolation; Ruby's own engine does the rest.

require "json"
require "rexml/document"

$VERBOSE = nil

FLAGS = {
  "REG_ICASE" => Regexp::IGNORECASE,
  "REG_DOT_NEWLINE" => Regexp::MULTILINE,
  "REG_LINE_ANY_CRLF" => Regexp::MULTILINE,
  "REG_MULTILINE" => Regexp::MULTILINE,
  "REG_EXTENDED" => Regexp::EXTENDED
}.freeze

Fingerprint = Struct.new(:expression, :params, :texts)

def fingerprint(element)
  options = element.attributes["flags"].to_s.split(",").sum { |flag| FLAGS.fetch(flag) }
  params = element.get_elements("param").to_h do |param|
    [param.attributes["name"], [param.attributes["pos"].to_i, param.attributes["value"].to_s]]
  end
  texts = element.get_elements("example").reject { |example| example.attributes["_filename"] }.map do |example|
    text = example.texts.map(&:value).join
    packed = example.attributes["_encoding"] == "base64"
    packed ? text.gsub(/\s+/, "").unpack1("m").force_encoding("UTF-8") : text
  end
  Fingerprint.new(Regexp.new(element.attributes["pattern"], options), params, texts)
end

def fill(name, template, facts)
  template.scan(/\{([^\s{}]+)\}/).flatten.uniq.inject(template) do |text, fact|
    known = facts[fact]
    known = nil if known == ""
    known ||= "-" if name.end_with?(".cpe23") && fact.end_with?(".version")
    return nil unless known

    text.gsub("{#{fact}}") { known }
  end
end

def facts(fingerprint, match, protocol)
  found = fingerprint.params.to_h { |name, (group, value)| [name, group.zero? ? value : match[group]] }
  found["service.protocol"] ||= protocol if protocol
  fingerprint.params.each do |name, (group, value)|
    found[name] = fill(name, value, found) if group.zero?
  end
  found.reject { |name, value| value.nil? || value.empty? || name.start_with?("_tmp.") }
end

def variants(text)
  [text, text.upcase, text[1..].to_s, text[0..-2].to_s, "x\n#{text}\n"].select(&:valid_encoding?)
end

Dir.glob("#{ARGV.fetch(0)}/*.xml").sort.each do |path|
  root = REXML::Document.new(File.read(path)).root
  protocol = root.attributes["protocol"]&.downcase
  fingerprints = root.get_elements("fingerprint").map { |element| fingerprint(element) }
  fingerprints.flat_map(&:texts).flat_map { |text| variants(text) }.uniq.each do |text|
    found = nil
    fingerprints.each do |fingerprint|
      match = fingerprint.expression.match(text)
      break found = facts(fingerprint, match, protocol) if match
    end
    puts JSON.generate({ file: File.basename(path), text: text, facts: found })
  end
end
