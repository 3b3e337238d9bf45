package pocketgan.effects

import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.KeyPairGenerator
import java.security.MessageDigest
import java.security.PrivateKey
import java.security.Signature
import java.time.LocalDateTime
import java.util.Base64
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream
import java.util.zip.ZipOutputStream
import pocketgan.bundle.ColourSpace
import pocketgan.bundle.Component
import pocketgan.bundle.Concept
import pocketgan.bundle.ConceptForm
import pocketgan.bundle.DType
import pocketgan.bundle.Entry
import pocketgan.bundle.FileRecord
import pocketgan.bundle.GoldenSet
import pocketgan.bundle.GoldenTensor
import pocketgan.bundle.Layout
import pocketgan.bundle.Manifest
import pocketgan.bundle.Role
import pocketgan.bundle.TensorSpec
import pocketgan.json.MODEL_JSON

/** A key of Java's own, to sign test bundles with. */
internal class TestKey {
    private val pair = KeyPairGenerator.getInstance("Ed25519").generateKeyPair()
    val private: PrivateKey = pair.private

    /** The 32 bytes at the end of its SubjectPublicKeyInfo, base64. */
    val public: String = Base64.getEncoder().encodeToString(pair.public.encoded.takeLast(32).toByteArray())

    val pem: String = "-----BEGIN PUBLIC KEY-----\n${Base64.getEncoder().encodeToString(pair.public.encoded)}\n-----END PUBLIC KEY-----\n"
}

/** A form of the negative of a picture of 8x6 pixels; [model] is what its runtime opens. */
internal class TestEntry(
    val id: String = "onnx-fp32",
    val runtime: String = "onnxruntime",
    val model: ByteArray = onnxModel("Neg", listOf(1, 3, HEIGHT, WIDTH)),
    val components: List<String> = listOf("main"),
)

/** A concept of a pack: what each number becomes, and the model by which an entry of [drawnBy] draws it. */
internal class TestConcept(
    val name: String,
    val drawnBy: Set<String>? = null,
    val model: (TestEntry) -> ByteArray = { "${it.id} $name".toByteArray() },
    val isPatch: Boolean = false,
    val golden: (Float) -> Float,
)

internal const val HEIGHT = 6L
internal const val WIDTH = 8L

/** The bytes of a `.pgb` whose entries turn pictures into their negatives; golden values by arithmetic. */
internal fun testBundle(
    vararg entries: TestEntry = arrayOf(TestEntry()),
    name: String = "negative",
    key: TestKey? = null,
    role: Role = Role.STUDENT,
    concepts: List<TestConcept> = emptyList(),
    goldenOutput: (Float) -> Float = { -it },
): ByteArray {
    val shape = listOf(1, 3, HEIGHT, WIDTH)
    val numbers = FloatArray((3 * HEIGHT * WIDTH).toInt()) { it * 2f / (3 * HEIGHT * WIDTH - 1) - 1 }
    fun drawn(each: (Float) -> Float) = littleEndian(FloatArray(numbers.size) { each(numbers[it]) })
    val contract = Contract(shape, Layout.NCHW, DType.FLOAT32, listOf(-1.0, 1.0))
    return bundle(entries.asList(), name, key, role, contract, drawn { it }, drawn(goldenOutput), concepts) { drawn(it.golden) }
}

/** A bundle whose entry gives back what it gets, in that layout and type; black is all zeros. */
internal fun sameBundle(layout: Layout, type: DType): ByteArray {
    val shape = if (layout == Layout.NCHW) listOf(1, 3, HEIGHT, WIDTH) else listOf(1, HEIGHT, WIDTH, 3)
    val entry = TestEntry(model = onnxModel("Identity", shape, OnnxType.valueOf(type.name)))
    val golden = ByteArray((3 * HEIGHT * WIDTH).toInt() * type.bytes)
    val range = if (type == DType.UINT8) listOf(0.0, 255.0) else listOf(0.0, 1.0)
    return bundle(listOf(entry), "same", null, Role.STUDENT, Contract(shape, layout, type, range), golden, golden)
}

private class Contract(val shape: List<Long>, val layout: Layout, val type: DType, val range: List<Double>)

private fun bundle(
    entries: List<TestEntry>, name: String, key: TestKey?, role: Role, contract: Contract, golden: ByteArray, wanted: ByteArray,
    concepts: List<TestConcept> = emptyList(), drawn: (TestConcept) -> ByteArray = { ByteArray(0) },
): ByteArray {
    val contents = linkedMapOf("golden/set/x.bin" to golden, "golden/set/y.bin" to wanted)
    for (entry in entries) for (part in entry.components) contents["models/${entry.id}/$part/model.onnx"] = entry.model
    for (concept in concepts) {
        contents["golden/${concept.name}/inputs.sha256"] = ByteArray(32)
        contents["golden/${concept.name}/y.bin"] = drawn(concept)
        for (entry in entries.filter { it.id in (concept.drawnBy ?: setOf(it.id)) }) {
            val model = concept.model(entry)
            contents[formOf(entry, concept)] = if (concept.isPatch) patchOf(entry.model, model) else model
        }
    }
    val records = contents.mapValues { (path, content) -> FileRecord(path, content.size.toLong(), sha256(content)) }
    val (x, y) = listOf("x", "y").map {
        TensorSpec(it, contract.shape, contract.layout, contract.type, contract.range, ColourSpace.RGB)
    }
    val (goldenX, goldenY) = listOf("x", "y").map {
        GoldenTensor(it, contract.type, contract.shape, records.getValue("golden/set/$it.bin"))
    }
    val manifest = Manifest(
        name = name,
        role = role,
        trained = true,
        entries = entries.map { entry ->
            val components = entry.components.map { part ->
                val files = records.filterKeys { it.startsWith("models/${entry.id}/$part/") }.values.toList()
                Component(part, "$part/model.onnx", files, listOf(x), listOf(y))
            }
            Entry(entry.id, "onnx", "fp32", entry.runtime, "1", golden = "set", components = components)
        },
        golden = listOf(GoldenSet("set", inputs = listOf(goldenX), outputs = listOf(goldenY))) + concepts.map {
            val inputs = GoldenTensor("sha256", DType.UINT8, listOf(32), records.getValue("golden/${it.name}/inputs.sha256"))
            val outputs = listOf(goldenY.copy(file = records.getValue("golden/${it.name}/y.bin")))
            GoldenSet(it.name, inputsOf = "set", inputs = listOf(inputs), outputs = outputs)
        },
        concepts = if (concepts.isEmpty()) emptyList() else listOf(Concept("plain", "as it stands")) + concepts.map { concept ->
            val way = if (concept.isPatch) ConceptForm.Way.PATCH else ConceptForm.Way.MODEL
            val drawing = entries.filter { formOf(it, concept) in records }
            Concept(concept.name, "in ${concept.name}", forms = drawing.map { entry ->
                ConceptForm(entry.id, way, formOf(entry, concept), concept.name)
            })
        },
        defaultConcept = "plain".takeIf { concepts.isNotEmpty() },
    )
    val manifestBytes = MODEL_JSON.encodeToString(Manifest.serializer(), manifest).toByteArray()
    val files = linkedMapOf("manifest.json" to manifestBytes)
    if (key != null) files["signature.json"] = signature(manifestBytes, key)
    return zipped(files + contents)
}

private fun formOf(entry: TestEntry, concept: TestConcept): String {
    val file = if (concept.isPatch) "${concept.name}.safetensors" else "${concept.name}.onnx"
    return "models/${entry.id}/${entry.components.first()}/$file"
}

/** A patch that turns [target] into [result], which is as long, byte by byte. */
private fun patchOf(target: ByteArray, result: ByteArray): ByteArray {
    require(target.size == result.size)
    val plan = """{"target_bytes":${target.size},"target_sha256":"${sha256(target)}","result_sha256":"${sha256(result)}",""" +
        """"bytes":[{"offset":0,"bytes":"all"}]}"""
    val tensor = """"all":{"dtype":"U8","shape":[${result.size}],"data_offsets":[0,${result.size}]}"""
    val header = """{"__metadata__":{"patch":"${plan.replace("\"", "\\\"")}"},$tensor}""".toByteArray()
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.size.toLong()).array() + header + result
}

private fun signature(manifest: ByteArray, key: TestKey): ByteArray {
    val value = Signature.getInstance("Ed25519").run {
        initSign(key.private)
        update(manifest)
        sign()
    }
    val encoded = Base64.getEncoder().encodeToString(value)
    return """{"algorithm":"Ed25519","public_key":"${key.public}","signature":"$encoded"}""".toByteArray()
}

private fun littleEndian(numbers: FloatArray): ByteArray =
    ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN).also { numbers.forEach(it::putFloat) }.array()

private fun sha256(bytes: ByteArray) =
    MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { String.format("%02x", it) }

/** A `.pgb` of these files, stored one after the other. */
internal fun zipped(files: Map<String, ByteArray>): ByteArray {
    val out = ByteArrayOutputStream()
    ZipOutputStream(out).use { zip ->
        for ((name, content) in files) {
            zip.putNextEntry(
                ZipEntry(name).apply {
                    method = ZipEntry.STORED
                    size = content.size.toLong()
                    crc = CRC32().apply { update(content) }.value
                    setTimeLocal(LocalDateTime.of(1981, 1, 1, 0, 0))
                },
            )
            zip.write(content)
            zip.closeEntry()
        }
    }
    return out.toByteArray()
}

internal fun unzipped(bundle: ByteArray): Map<String, ByteArray> =
    ZipInputStream(bundle.inputStream()).use { zip ->
        generateSequence { zip.nextEntry }.associate { it.name to zip.readBytes() }
    }
