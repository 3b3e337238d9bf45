package pocketgan.bundle

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import org.junit.Rule
import org.junit.rules.TemporaryFolder

class PatchedFilesTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val folder by lazy { temporary.root.toPath().resolve("patched") }
    private val target by lazy { temporary.newFile("model.pte").apply { writeBytes(floats(1f, 2f)) }.toPath() }

    /** Adds [amount] to the first of two numbers. */
    private fun patch(amount: Float, result: ByteArray = floats(1f + amount, 2f)): Patch =
        Patch(patchOf(1, 1, floats(amount), floats(1f), targetBytes = 8, sha256(result)))

    private fun names() = Files.list(folder).use { all -> all.iterator().asSequence().map { "${it.fileName}" }.toList() }

    @Test
    fun `file lies under its hash, and beside nothing else`() {
        val file = PatchedFiles(folder).file(target, listOf(patch(0.5f)))
        assertContentEquals(floats(1.5f, 2f), Files.readAllBytes(file))
        assertEquals(listOf("${sha256(floats(1.5f, 2f))}.pte"), names())
        assertContentEquals(floats(1f, 2f), Files.readAllBytes(target))
    }

    @Test
    fun `file that is whole is not made again`() {
        val file = PatchedFiles(folder).file(target, listOf(patch(0.5f)))
        Files.write(target, floats(7f, 7f))
        assertEquals(file, PatchedFiles(folder).file(target, listOf(patch(0.5f))))
    }

    @Test
    fun `file that was changed is made again`() {
        val file = PatchedFiles(folder).file(target, listOf(patch(0.5f)))
        Files.write(file, floats(1.5f, 3f))
        PatchedFiles(folder).file(target, listOf(patch(0.5f)))
        assertContentEquals(floats(1.5f, 2f), Files.readAllBytes(file))
    }

    @Test
    fun `what is remembered is not read`() {
        val known = HashSet<Path>()
        val memory = object : FileMemory {
            override fun isUnchanged(file: Path) = file in known

            override fun remember(file: Path) {
                known.add(file)
            }
        }
        val file = PatchedFiles(folder, memory).file(target, listOf(patch(0.5f)))
        Files.write(file, floats(9f))
        PatchedFiles(folder, memory).file(target, listOf(patch(0.5f)))
        assertContentEquals(floats(9f), Files.readAllBytes(file))
    }

    @Test
    fun `what is not what the patch says leaves nothing`() {
        assertFailsWith<DamageException> { PatchedFiles(folder).file(target, listOf(patch(0.5f, result = floats(0f, 0f)))) }
        assertEquals(emptyList(), names())
    }

    @Test
    fun `half a file that a power cut left is swept away`() {
        Files.createDirectories(folder)
        Files.write(folder.resolve("new1.partial"), floats(1f))
        PatchedFiles(folder).file(target, listOf(patch(0.5f)))
        assertEquals(1, names().size)
    }

    @Test
    fun `effects that were looked at through do not fill the phone`() {
        for (number in 1..20) PatchedFiles(folder).file(target, listOf(patch(number.toFloat())))
        assertEquals(6, names().size)
    }

    @Test
    fun `rows longer and weights larger than what is read at once`() {
        for ((rows, columns) in listOf(3 to 40_000, 40_000 to 3)) {
            val left = FloatArray(rows) { it % 7f }
            val right = FloatArray(columns) { it % 5f }
            val before = FloatArray(rows * columns) { it % 11f }
            val after = FloatArray(rows * columns) { before[it] + left[it / columns] * right[it % columns] }
            Files.write(target, floats(*before))
            val data = patchOf(rows, columns, floats(*left), floats(*right), 4L * rows * columns, sha256(floats(*after)))
            val file = PatchedFiles(folder).file(target, listOf(Patch(data)))
            assertContentEquals(floats(*after), Files.readAllBytes(file))
        }
    }
}

/** A `.safetensors` that adds the product of b (rows, 1) and a (1, columns) to the first numbers of a file. */
internal fun patchOf(
    rows: Int, columns: Int, b: ByteArray, a: ByteArray, targetBytes: Long, result: String, target: String = "0".repeat(64),
): ByteArray {
    val weight = """{"offset":0,"rows":$rows,"columns":$columns,"dtype":"float32","a":"a","b":"b"}"""
    val plan = """{"target_bytes":$targetBytes,"target_sha256":"$target","result_sha256":"$result","weights":[$weight]}"""
    val tensors = """"b":{"dtype":"F32","shape":[$rows,1],"data_offsets":[0,${b.size}]},""" +
        """"a":{"dtype":"F32","shape":[1,$columns],"data_offsets":[${b.size},${b.size + a.size}]}"""
    val header = """{"__metadata__":{"patch":"${plan.replace("\"", "\\\"")}"},$tensors}""".toByteArray()
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.size.toLong()).array() + header + b + a
}

/** A `.safetensors` that puts [word] at the begin of a file. */
internal fun patchOfWord(word: String, targetBytes: Int, target: String, result: String): ByteArray {
    val plan = """{"target_bytes":$targetBytes,"target_sha256":"$target","result_sha256":"$result",""" +
        """"bytes":[{"offset":0,"bytes":"word"}]}"""
    val tensor = """"word":{"dtype":"U8","shape":[${word.length}],"data_offsets":[0,${word.length}]}"""
    val header = """{"__metadata__":{"patch":"${plan.replace("\"", "\\\"")}"},$tensor}""".toByteArray()
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.size.toLong()).array() + header +
        word.toByteArray()
}

internal fun floats(vararg numbers: Float): ByteArray =
    ByteBuffer.allocate(4 * numbers.size).order(ByteOrder.LITTLE_ENDIAN).apply { numbers.forEach { putFloat(it) } }.array()

internal fun sha256(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").digest(bytes))
