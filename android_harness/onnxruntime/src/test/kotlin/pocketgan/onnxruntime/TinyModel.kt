package pocketgan.onnxruntime

import java.io.ByteArrayOutputStream

/**
 * An ONNX model that negates two numbers in `nodes` nodes named neg0, neg1, ...: the few fields of its protocol buffer
 * (onnx/onnx.proto) that ONNX Runtime asks for.
 */
internal fun tinyModel(irVersion: Int = 10, opset: Int = 18, nodes: Int = 3): ByteArray {
    val graph = message {
        repeat(nodes) { number ->
            field(1) {
                text(1, if (number == 0) "x" else "x$number")
                text(2, if (number == nodes - 1) "y" else "x${number + 1}")
                text(3, "neg$number")
                text(4, "Neg")
            }
        }
        text(2, "tiny")
        bytes(11, twoFloats("x"))
        bytes(12, twoFloats("y"))
    }
    return message {
        number(1, irVersion)
        bytes(7, graph)
        field(8) { number(2, opset) }
    }
}

/** A ValueInfoProto: float32 of shape (1, 2). */
private fun twoFloats(name: String) = message {
    text(1, name)
    field(2) {
        field(1) {
            number(1, 1)
            field(2) {
                field(1) { number(1, 1) }
                field(1) { number(1, 2) }
            }
        }
    }
}

private class Message {
    val out = ByteArrayOutputStream()

    fun number(field: Int, value: Int) {
        varint(field shl 3)
        varint(value)
    }

    fun bytes(field: Int, content: ByteArray) {
        varint(field shl 3 or 2)
        varint(content.size)
        out.write(content, 0, content.size)
    }

    fun text(field: Int, value: String) = bytes(field, value.toByteArray())

    fun field(field: Int, fill: Message.() -> Unit) = bytes(field, message(fill))

    private fun varint(value: Int) {
        var rest = value
        while (rest >= 0x80) {
            out.write(rest and 0x7f or 0x80)
            rest = rest ushr 7
        }
        out.write(rest)
    }
}

private fun message(fill: Message.() -> Unit): ByteArray = Message().apply(fill).out.toByteArray()
